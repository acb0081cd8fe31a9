#include "pgrecast/migration/planning.h"

#include "pgrecast/base/error.h"
#include "pgrecast/base/json.h"
#include "pgrecast/migration/leftovers.h"
#include "pgrecast/migration/rivals.h"
#include "pgrecast/migration/state.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/plan/preconditions.h"

#include "context.h"
#include "reporting.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <iterator>
#include <utility>

namespace pgrecast::migration {
namespace {

void append(std::vector<Refusal>& to, std::vector<Refusal> from) {
  std::ranges::move(from, std::back_inserter(to));
}

pg::Connection open_session(const RunOptions& options,
                            const std::stop_token& stop) {
  return pg::Connection::open(
      {.conninfo = options.conninfo, .application = "pgrecast"}, "plan", stop);
}

void check_name(pg::Connection& connection, const RunOptions& options,
                std::vector<Refusal>& refusals) {
  // Before the record: what a migration makes that begins in between is never
  // taken for left behind.
  std::vector<Refusal> leftovers = leftover_refusals(
      connection, plan::make_names(options.name, database_oid(connection)));
  try {
    refuse_foreign_schema(connection);
    const auto record = find_migration(connection, options.name);
    if (!record) {
      append(refusals, std::move(leftovers));
      return;
    }
    if (record->script != options.script) {
      refusals.push_back(another_script(options.name));
      return;
    }
    refusals.push_back(
        {fmt::format("the migration {} has begun already (phase {})",
                     options.name, name_of(record->phase)),
         "`pgrecast run` with this script resumes it; `pgrecast status` tells "
         "how it stands"});
  } catch (const Refused& refused) {
    append(refusals, refused.refusals());
  }
}

std::vector<Refusal> check_rivals(pg::Connection& connection,
                                  const catalog::Table& source,
                                  const plan::Names& names) {
  try {
    return rival_refusals(connection, source, names);
  } catch (const Refused&) {
    return {};  // check_name() says so
  }
}

plan::AskOfSource asking(const plan::Names& names) {
  return [names](pg::Connection& session, const catalog::Table& source) {
    return check_rivals(session, source, names);
  };
}

// What neither the script nor its tables have to do with. Throws Refused behind
// a pooler, as what it answers otherwise is not to be relied on, and at a
// server that is too old to be asked anything else.
std::vector<Refusal> check_around(pg::Connection& connection,
                                  const RunOptions& options,
                                  const std::stop_token& stop) {
  if (auto pooler = plan::pooler_refusal(connection)) {
    throw Refused({std::move(*pooler)});
  }
  if (auto old = plan::old_server_refusal(connection)) {
    throw Refused({std::move(*old)});
  }
  std::vector<Refusal> refusals;
  check_name(connection, options, refusals);
  if (auto refusal = plan::replication_refusal(
          {.conninfo = options.conninfo, .application = "pgrecast"}, stop)) {
    refusals.push_back(std::move(*refusal));
  }
  if (auto refusal =
          plan::state_dir_refusal(options.state_dir, plan::kStateDirBytesMin)) {
    refusals.push_back(std::move(*refusal));
  }
  return refusals;
}

std::vector<Refusal> refusals_of(
    const std::vector<script::ScriptProblem>& problems) {
  std::vector<Refusal> refusals;
  for (const script::ScriptProblem& problem : problems) {
    // Without the remedy, which is its last line and a field of its own.
    std::string what = problem.formatted;
    if (what.ends_with(problem.remedy)) {
      what.erase(what.size() - problem.remedy.size());
      what.erase(what.find_last_not_of(" \n") + 1);
    }
    refusals.push_back({std::move(what), problem.remedy});
  }
  return refusals;
}

// What was found out only when it is recorded, under the exchange's lock even.
void refuse_unrecordable(const PlanReport& report) {
  recorded_json(report.plan.settings);
  for (const plan::TableTarget& target : report.plan.targets) target.to_json();
  for (const catalog::Fingerprint& fingerprint : report.plan.fingerprints) {
    fingerprint.to_json();
  }
  // What is validated or analyzed after the exchange.
  for (const TableReport& table : report.tables) {
    for (const CarriedKind& kind : table.carried) {
      if (kind.kind.starts_with("foreign keys") ||
          kind.kind == "materialized views") {
        recorded_json(kind.names);
      }
    }
  }
}

// Of a script that has problems, with all that can be found out beside them.
plan::RefusedPlan refused_script(const RunOptions& options,
                                 const script::Script::Reading& reading,
                                 const std::stop_token& stop) {
  std::vector<Refusal> refusals = refusals_of(reading.problems);
  try {
    pg::Connection connection = open_session(options, stop);
    append(refusals, check_around(connection, options, stop));
    const plan::Names names =
        plan::make_names(options.name, database_oid(connection));
    return plan::plan_of_part(connection, reading.script, names, refusals,
                              asking(names));
  } catch (const Refused& refused) {
    append(refusals, refused.refusals());
  } catch (const pg::ConnectionError& unreachable) {
    refusals.push_back({unreachable.what(), "correct --dsn"});
  }
  return {std::move(refusals), {}};
}

}  // namespace

void refuse_standby(pg::Connection& connection) {
  if (auto standby = plan::standby_refusal(connection)) {
    throw Refused({std::move(*standby)});
  }
}

Refusal another_script(const std::string& name) {
  return {fmt::format("there is a migration {} with another script", name),
          "give this one another name (--name), or abort or finish that one"};
}

script::Script read_script(const RunOptions& options,
                           const std::stop_token& stop) {
  script::Script::Reading reading =
      script::Script::read(options.script, options.script_file);
  if (reading.problems.empty()) return std::move(reading.script);
  throw refused_script(options, reading, stop);
}

PlanReport plan_migration(pg::Connection& connection,
                          const script::Script& script,
                          const plan::Names& names, const RunOptions& options,
                          const std::stop_token& stop) {
  PlanReport report;
  report.plan = plan::make_plan(
      connection, script, names, check_around(connection, options, stop),
      options.assume_immutable,
      [&](pg::Connection& session, const plan::Plan& plan) {
        look_at_shadows(session, script, plan, options, report);
      },
      asking(names));
  refuse_unrecordable(report);
  report.time = time_report(report.plan, options);
  return report;
}

PlanReport plan_migration(const RunOptions& options,
                          const std::stop_token& stop) {
  const script::Script script = read_script(options, stop);
  pg::Connection connection = open_session(options, stop);
  return plan_migration(
      connection, script,
      plan::make_names(options.name, database_oid(connection)), options, stop);
}

}  // namespace pgrecast::migration
