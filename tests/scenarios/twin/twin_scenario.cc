#include "scenarios/twin/twin_scenario.h"

#include "pgrecast/base/error.h"

#include "scenarios/twin/compare.h"

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace pgrecast::test {
namespace {

constexpr const char* kMigration = "twin";

// Exit codes (docs/reference/exit-codes.md).
constexpr int kDone = 0;
constexpr int kInterrupted = 4;
constexpr int kCutoverNotAchieved = 5;
constexpr int kKilled = 128 + SIGKILL;

// Longer than any of these scenarios lasts; the tests say what is expected.
constexpr std::chrono::minutes kScenarioPatience{3};
// What goes on through the same name after the cutover.
constexpr long kCommitsAfterwards = 300;
constexpr int kFailedCutoversMax = 10;

std::string make_folder() {
  std::string folder = "/tmp/pgrecast-twin-XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) {
    throw std::runtime_error("cannot make a folder in /tmp");
  }
  return folder;
}

}  // namespace

std::uint64_t twin_seed(std::uint64_t otherwise) {
  const char* text =
      std::getenv("PGRECAST_TWIN_SEED");  // NOLINT(concurrency-mt-unsafe)
  return text == nullptr ? otherwise : std::stoull(text);
}

TwinScenario::TwinScenario(Database& database,
                           const TwinScenarioOptions& options)
    : database_(database),
      options_(options),
      random_(options.schema.seed),
      folder_(make_folder()) {
  constexpr int kIdsPerHundredRows = 130;
  options_.load.seed = options_.schema.seed;
  options_.load.ids = options_.rows / 100 * kIdsPerHundredRows;
  options_.load.server_restarts = options_.server_restarts > 0;

  Session superuser = database_.superuser_session();
  Session owner = database_.session();
  schema_ = std::make_unique<TwinSchema>(options_.schema,
                                         ServerOffers::ask(superuser));
  schema_->create(superuser, owner, options_.rows);
  std::ofstream(folder_ + "/script.sql") << schema_->script();
}

TwinScenario::~TwinScenario() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void TwinScenario::run() {
  SCOPED_TRACE(fmt::format("PGRECAST_TWIN_SEED={}  # {}\n{}",
                           options_.schema.seed, schema_->description(),
                           schema_->script()));
  fmt::print("{}\n", schema_->description());
  TwinLoad load(database_.dsn(), *schema_, options_.load);
  // The first long transaction is open by then: older than the slot.
  ASSERT_TRUE(load.wait_for_commits(20, Deadline::in(kPatience)))
      << load.statistics().text();

  ASSERT_TRUE(migrate(load));

  EXPECT_TRUE(load.wait_for_commits_in_new_shape(kCommitsAfterwards,
                                                 Deadline::in(kPatience)));
  const LoadStatistics statistics = load.stop();
  fmt::print(
      "  {}\n  pgrecast killed {}, server restarted {}, cutover again "
      "{} times\n",
      statistics.text(), kills_, server_restarts_, failed_cutovers_);
  EXPECT_TRUE(statistics.clean()) << statistics.text();
  if (options_.load.prepared_transactions) {
    EXPECT_GT(statistics.prepared, 0);
  }
  Session owner = database_.session();
  expect_same_as_twin(owner);
  EXPECT_EQ(command("finish"), kDone);
  expect_same_as_twin(owner);
}

void TwinScenario::expect_same_as_twin(Session& owner) const {
  const Differences differences =
      compare_rows(owner, "SELECT * FROM " + schema_->new_twin(),
                   "SELECT * FROM " + schema_->table());
  EXPECT_TRUE(differences.none()) << differences.text();
  EXPECT_EQ(shape_of(owner, schema_->table()),
            shape_of(owner, schema_->new_twin()));
  EXPECT_EQ(indexes_of(owner, schema_->table()), schema_->expected_indexes());
}

bool TwinScenario::migrate(TwinLoad& load) {
  const Deadline deadline = Deadline::in(kScenarioPatience);
  std::string output;
  while (!deadline.passed()) {
    Program program = start();
    std::optional<int> exit_code;
    try {
      exit_code = run_for_a_while(program);
      if (!exit_code && options_.commits_when_ready > 0) {
        cut_over_when_ready(program, load);
      }
      if (!exit_code) exit_code = program.wait(deadline);
    } catch (const TimedOut& late) {
      ADD_FAILURE() << late.what() << "\n" << load.statistics().text();
      return false;
    }
    if (exit_code == kDone) return true;
    if (!may_run_again(*exit_code)) {
      ADD_FAILURE() << "exit code " << *exit_code << "\n" << program.output();
      return false;
    }
    output = program.output();
  }
  ADD_FAILURE() << "not done in time, at last\n" << output;
  return false;
}

// Until the next accident of those that the options ask for, or until pgrecast
// ends. Its exit code; nothing where it runs on, undisturbed.
std::optional<int> TwinScenario::run_for_a_while(Program& program) {
  const bool kill_next = kills_ < options_.kills;
  const bool restart_next = server_restarts_ < options_.server_restarts;
  if (!kill_next && !restart_next) return std::nullopt;
  const milliseconds until(random_.between(50, 2'500));
  try {
    return program.wait(Deadline::in(until));
  } catch (const TimedOut&) {
    if (restart_next && (!kill_next || random_.chance(50))) {
      restart_server();
    } else {
      ++kills_;
      program.signal(SIGKILL);
    }
  }
  // A lost server ends it; where it survives that, it goes on to its end.
  return program.wait(Deadline::in(kScenarioPatience));
}

void TwinScenario::restart_server() {
  ++server_restarts_;
  PgCluster& cluster = database_.cluster();
  switch (random_.below(3)) {
    case 0:
      cluster.kill_server();
      return cluster.start();
    case 1:
      return cluster.restart(PgCluster::Stop::kImmediate);
    default:
      return cluster.restart(PgCluster::Stop::kFast);
  }
}

bool TwinScenario::may_run_again(int exit_code) {
  switch (exit_code) {
    case kKilled:
      return kills_ > 0;
    case kInterrupted:
      return server_restarts_ > 0;
    case kCutoverNotAchieved:
      return options_.cutover_may_fail &&
             ++failed_cutovers_ <= kFailedCutoversMax;
    default:
      return false;
  }
}

void TwinScenario::cut_over_when_ready(Program& program, TwinLoad& load) {
  program.wait_for_output("phase=ready", Deadline::in(kScenarioPatience));
  if (options_.large_when_ready) {
    EXPECT_TRUE(load.run_large(Deadline::in(kScenarioPatience)))
        << load.statistics().text();
    program.wait_for_output("round done.*kind=loose",
                            Deadline::in(kScenarioPatience));
  }
  if (options_.load.truncates) {
    EXPECT_TRUE(load.truncate(Deadline::in(kScenarioPatience)))
        << load.statistics().text();
    program.wait_for_output("source was rewritten by somebody",
                            Deadline::in(kScenarioPatience));
  }
  EXPECT_TRUE(load.wait_for_commits(options_.commits_when_ready,
                                    Deadline::in(kPatience)))
      << load.statistics().text();
  EXPECT_EQ(command("cutover"), kDone);
}

Program TwinScenario::start() const {
  return Program({"run", "--dsn", database_.dsn(), folder_ + "/script.sql",
                  "--state-dir", folder_ + "/state", "--name", kMigration,
                  "--yes", "--workers", std::to_string(options_.workers),
                  "--cutover",
                  options_.commits_when_ready > 0 ? "manual" : "auto",
                  "--progress", "none", "--log-format", "text", "--log-level",
                  options_.large_when_ready ? "debug" : "info"});
}

int TwinScenario::command(const std::string& name) const {
  Program program({name, "--dsn", database_.dsn(), kMigration});
  const int exit_code = program.wait();
  if (exit_code != kDone) fmt::print("{}: {}", name, program.output());
  return exit_code;
}

}  // namespace pgrecast::test
