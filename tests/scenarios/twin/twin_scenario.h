#pragma once

#include "scenarios/twin/twin_schema.h"
#include "scenarios/twin/workload.h"
#include "support/program.h"
#include "support/test_database.h"

#include <cstdint>
#include <memory>
#include <string>

namespace pgrecast::test {

// What one twin test does. The seed of the schema is the seed of everything.
struct TwinScenarioOptions {
  SchemaOptions schema;
  int rows = 20'000;
  // Its ids follow from `rows`, its seed is the schema's.
  LoadOptions load;
  int workers = 2;
  // Commits of the load that the migration stays ready for, before it is told
  // to cut over: rounds under load. 0: it cuts over by itself.
  long commits_when_ready = 0;
  // Lets the large transactions of the load run when it is ready, and expects
  // rounds of several transactions: more is dirty then than one may hold.
  bool large_when_ready = false;
  // How often pgrecast is killed (-9), at random moments, and run again.
  int kills = 0;
  // How often the server is killed or restarted. Needs a cluster of its own.
  int server_restarts = 0;
  // Whether a cutover that was not achieved (exit code 5) may be tried again:
  // where something freezes the writers, with their locks.
  bool cutover_may_fail = false;
};

// Migrates a table with the real pgrecast while writers write to it and to its
// twin, and expects that nobody can tell the result from the script's own.
// Failures are reported to googletest, with the seed. Use on the main thread.
class TwinScenario {
 public:
  TwinScenario(Database& database, const TwinScenarioOptions& options);
  TwinScenario(const TwinScenario&) = delete;
  TwinScenario& operator=(const TwinScenario&) = delete;
  ~TwinScenario();

  // Returns when the migration is finished and compared.
  void run();

  const TwinSchema& schema() const { return *schema_; }

 private:
  // True when pgrecast has said that it is done.
  bool migrate(TwinLoad& load);
  std::optional<int> run_for_a_while(Program& program);
  void cut_over_when_ready(Program& program, TwinLoad& load);
  void restart_server();
  bool may_run_again(int exit_code);
  Program start() const;
  int command(const std::string& name) const;
  void expect_same_as_twin(Session& owner) const;

  Database& database_;
  TwinScenarioOptions options_;
  Random random_;
  std::unique_ptr<TwinSchema> schema_;
  std::string folder_;  // of the script and of pgrecast's state
  int kills_ = 0;
  int server_restarts_ = 0;
  int failed_cutovers_ = 0;
};

// The seed of PGRECAST_TWIN_SEED, else `otherwise`.
std::uint64_t twin_seed(std::uint64_t otherwise);

}  // namespace pgrecast::test
