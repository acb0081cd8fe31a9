#pragma once

#include "pgrecast/catalog/table.h"
#include "pgrecast/exchange/exchange.h"
#include "pgrecast/migration/options.h"
#include "pgrecast/migration/plan_report.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/script/script.h"

#include <optional>
#include <string>
#include <vector>

// The parts of a PlanReport, each read while the plan's empty shadows exist, in
// the transaction that made them, with an empty search_path. None writes.
namespace pgrecast::migration {

// All of it. `plan` has no warnings yet; report.plan is the caller's.
void look_at_shadows(pg::Connection& connection, const script::Script& script,
                     const plan::Plan& plan, const RunOptions& options,
                     PlanReport& report);

TableSize read_size(pg::Connection& connection, catalog::Oid table);

std::vector<ColumnChange> column_changes(pg::Connection& connection,
                                         const exchange::ExchangeTable& table);
std::vector<ShapeChange> shape_changes(pg::Connection& connection,
                                       const exchange::ExchangeTable& table);
std::vector<PartitionChange> partition_changes(
    pg::Connection& connection, const exchange::ExchangeTable& table);

// Statements that make the shadow's shape under the source's name.
std::vector<std::string> target_ddl(pg::Connection& connection,
                                    const exchange::ExchangeTable& table);

std::vector<CarriedKind> carried_kinds(
    pg::Connection& connection, const std::vector<exchange::ExchangeTable>& all,
    const exchange::ExchangeTable& table, const std::string& owner);

// The statements that are about one table, in the script's order.
using Statements = std::vector<const script::Statement*>;
Statements statements_of(const script::Script& script, const plan::Plan& plan,
                         std::size_t source);

std::vector<RowChange> row_changes(const script::Script& script,
                                   const Statements& statements);

std::vector<std::string> silent_triggers(pg::Connection& connection,
                                         const Statements& statements,
                                         const exchange::ExchangeTable& table);

// Of this moment, in any database.
std::vector<Hindrance> hindrances(pg::Connection& connection,
                                  const plan::Plan& plan);
std::vector<OtherSlot> other_slots(pg::Connection& connection,
                                   const plan::Names& names);
DiskReport disk_report(pg::Connection& connection,
                       const std::vector<TableReport>& tables,
                       const RunOptions& options);

// nullopt where nothing could be measured.
std::optional<TimeReport> time_report(const plan::Plan& plan,
                                      const RunOptions& options);

std::vector<StepLock> step_locks(
    pg::Connection& connection, const plan::Plan& plan,
    const std::vector<exchange::ExchangeTable>& tables,
    const RunOptions& options);

}  // namespace pgrecast::migration
