#pragma once

#include "pgrecast/base/error.h"
#include "pgrecast/migration/options.h"
#include "pgrecast/migration/plan_report.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/plan/plan.h"
#include "pgrecast/script/script.h"

#include <stop_token>
#include <string>

// What `plan` and `run` ask before anything is made.
namespace pgrecast::migration {

// Of a migration of that name whose script differs.
Refusal another_script(const std::string& name);

// The script of `options`. A syntax error is thrown as it is (ScriptError: no
// server need be asked); of statements that are not taken, Refused is thrown
// with what server, role, disk and the tables of the others have against the
// migration beside them.
script::Script read_script(const RunOptions& options,
                           const std::stop_token& stop);

// Throws Refused: a standby holds the state of migrations, too, but nobody can
// write there, nor see whether a process runs them.
void refuse_standby(pg::Connection& connection);

// plan::make_plan with all that lies outside of the script and its tables: a
// pooler, the right to replicate, the disk of --state-dir, a migration of the
// same name, or what one has left behind, another one of the tables.
// `connection` is a session as make_plan wants it.
//
// Throws Refused with all the reasons there are, and with the warnings.
PlanReport plan_migration(pg::Connection& connection,
                          const script::Script& script,
                          const plan::Names& names, const RunOptions& options,
                          const std::stop_token& stop);

// The same on a session of its own: `pgrecast plan`.
PlanReport plan_migration(const RunOptions& options,
                          const std::stop_token& stop);

}  // namespace pgrecast::migration
