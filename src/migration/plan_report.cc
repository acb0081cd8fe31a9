#include "pgrecast/migration/plan_report.h"

#include "pgrecast/catalog/table.h"
#include "pgrecast/plan/twins.h"

#include "reporting.h"

#include <set>
#include <utility>

namespace pgrecast::migration {
namespace {

std::vector<exchange::ExchangeTable> exchange_tables(pg::Connection& connection,
                                                     const plan::Plan& plan) {
  std::vector<exchange::ExchangeTable> tables;
  for (std::size_t i = 0; i < plan.targets.size(); ++i) {
    const plan::TableTarget& target = plan.targets[i];
    exchange::ExchangeTable table;
    table.target = &target;
    table.source_oid = plan.sources[i].oid;
    table.shadow_oid = catalog::find_relation(connection, target.shadow.schema,
                                              target.shadow.name)
                           .value();
    table.renamed = target.renamed;
    tables.push_back(std::move(table));
  }
  return tables;
}

// Those of shadows and of retired tables, of the twins, and of the state.
std::vector<std::string> schemas_made(
    pg::Connection& connection, const plan::Plan& plan,
    const std::vector<exchange::ExchangeTable>& tables) {
  std::vector<catalog::Reshaped> reshaped;
  for (const exchange::ExchangeTable& table : tables) {
    reshaped.push_back({.source = table.source_oid,
                        .target = table.shadow_oid,
                        .renamed = table.renamed});
  }
  std::set<std::string> of_twins;
  for (const plan::Twin& twin : plan::read_twins(connection, reshaped)) {
    of_twins.insert(twin.name.schema);
  }
  std::vector<std::string> schemas = plan.schemas;
  for (std::size_t i = 0; i < of_twins.size(); ++i) {
    schemas.push_back(plan.names.twin_schema(i));
  }
  schemas.emplace_back("pgrecast");
  return schemas;
}

}  // namespace

void look_at_shadows(pg::Connection& connection, const script::Script& script,
                     const plan::Plan& plan, const RunOptions& options,
                     PlanReport& report) {
  const auto tables = exchange_tables(connection, plan);
  for (std::size_t i = 0; i < tables.size(); ++i) {
    const exchange::ExchangeTable& table = tables[i];
    TableReport one;
    one.size = read_size(connection, table.source_oid);
    one.columns = column_changes(connection, table);
    one.changes = shape_changes(connection, table);
    one.partitions = partition_changes(connection, table);
    one.ddl = target_ddl(connection, table);
    one.select = plan.targets[i].select.rows("true");
    one.carried =
        carried_kinds(connection, tables, table, plan.sources[i].owner);
    const Statements statements = statements_of(script, plan, i);
    one.rows = row_changes(script, statements);
    one.silent_triggers = silent_triggers(connection, statements, table);
    report.tables.push_back(std::move(one));
  }
  report.locks = step_locks(connection, plan, tables, options);
  report.hindrances = hindrances(connection, plan);
  report.other_slots = other_slots(connection, plan.names);
  report.disk = disk_report(connection, report.tables, options);
  report.schemas = schemas_made(connection, plan, tables);
}

}  // namespace pgrecast::migration
