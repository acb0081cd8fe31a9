// The locks of each step, as the code of that step takes them. A test looks at
// pg_locks while a migration runs (tests/scenarios/plan/locks_test.cc), and
// within an exchange (tests/integration/exchange).

#include "pgrecast/catalog/table.h"
#include "pgrecast/exchange/planned_locks.h"

#include "reporting.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace pgrecast::migration {
namespace {

constexpr const char* kAccessShare = "ACCESS SHARE";
constexpr const char* kShareUpdateExclusive = "SHARE UPDATE EXCLUSIVE";
constexpr const char* kAccessExclusive = "ACCESS EXCLUSIVE";
constexpr const char* kRowShare = "ROW SHARE";

constexpr const char* kNobody = "ALTER TABLE and the like, no query";
constexpr const char* kMaintenance = "DDL and VACUUM, no query";

// What a batch is aimed at; a statement that takes longer than the other is
// given up (copy/chunker.h, verify/verifier.cc, pg::kStatementTimeMax).
constexpr const char* kBatch = "0.5 s a time as a rule, 2 min at most";

using Names = std::vector<std::string>;

Names displayed(const std::vector<catalog::QualifiedName>& names) {
  Names texts;
  for (const catalog::QualifiedName& name : names) {
    texts.push_back(name.display());
  }
  return texts;
}

void append(Names& to, const Names& from) {
  for (const std::string& name : from) {
    if (std::ranges::find(to, name) == to.end()) to.push_back(name);
  }
}

class Steps {
 public:
  Steps(Names sources, exchange::PlannedLocks planned,
        const RunOptions& options, milliseconds deadlock_timeout)
      : sources_(std::move(sources)),
        planned_(std::move(planned)),
        options_(options),
        deadlock_timeout_(deadlock_timeout) {}

  std::vector<StepLock> list() && {
    before_the_exchange();
    exchange();
    afterwards();
    return std::move(locks_);
  }

 private:
  void before_the_exchange() {
    add("prepare", kAccessShare, sources_, "while the new tables are made",
        "2 min", kNobody);
    add("prepare", kShareUpdateExclusive, sources_, "an instant, to publish",
        "2 min", kMaintenance);
    const Names referenced = displayed(planned_.referenced);
    add("prepare", kAccessShare, referenced,
        "while the new tables are made, for foreign keys of the script", "5 s",
        kNobody);
    for (const char* step : {"copy", "settle", "index", "catch up", "verify"}) {
      add(step, kAccessShare, sources_, kBatch, "10 s", kNobody);
    }
    add("verify", kAccessShare, referenced, kBatch, "10 s", kNobody);
  }

  void exchange() {
    // As Exchange::lock_gently() and lock_all() wait.
    constexpr milliseconds kForAutovacuumToEnd{500};
    const milliseconds gently = deadlock_timeout_ + kForAutovacuumToEnd;
    const milliseconds each = std::clamp(options_.lock_timeout, milliseconds(1),
                                         deadlock_timeout_ / 2);
    Names tables = sources_;
    append(tables, displayed(planned_.others));
    const std::string budget =
        fmt::format("{} ms at most", options_.cutover_budget.count());
    add("cutover", kAccessShare, displayed(planned_.read_to_fill),
        "while materialized views are filled", "no limit", kNobody);
    add("cutover", kShareUpdateExclusive, tables, "until the exchange",
        fmt::format("{} ms each", gently.count()), kMaintenance);
    Names exclusive = displayed(planned_.views);
    append(exclusive, tables);
    append(exclusive, displayed(planned_.identities));
    add("cutover", kAccessExclusive, exclusive, budget,
        fmt::format("{} ms each, {} ms together", each.count(),
                    (deadlock_timeout_ * 4 / 5).count()),
        "everybody");
    add("cutover", "SHARE ROW EXCLUSIVE", displayed(planned_.sequences), budget,
        fmt::format("{} ms each", each.count()), "nextval()");
  }

  void afterwards() {
    Names referencing;
    Names referenced;
    Names by_leaves;
    for (const auto& validation : planned_.validations) {
      append(referencing, {validation.referencing.display()});
      append(referenced, {validation.referenced.display()});
      if (!validation.by_leaves) continue;
      append(by_leaves, {validation.referencing.display(),
                         validation.referenced.display()});
    }
    const char* const each = "while each foreign key is validated";
    const char* const polite = "200 ms a time, again and again";
    add("after", kShareUpdateExclusive, referencing, each, polite,
        kMaintenance);
    add("after", kRowShare, referenced, each, polite,
        "ALTER TABLE and the like, no query");
    add("after", kAccessExclusive, by_leaves,
        "an instant, when foreign keys of partitions become the table's",
        polite, "everybody");
    if (planned_.analyzes) {
      add("after", kShareUpdateExclusive, sources_, "while ANALYZE runs",
          polite, kMaintenance);
    }
  }

  void add(const char* step, const char* mode, const Names& objects,
           std::string held, std::string waited, const char* hinders) {
    if (objects.empty()) return;
    locks_.push_back({.step = step,
                      .mode = mode,
                      .objects = objects,
                      .held = std::move(held),
                      .waited = std::move(waited),
                      .hinders = hinders});
  }

  Names sources_;
  exchange::PlannedLocks planned_;
  const RunOptions& options_;
  milliseconds deadlock_timeout_;
  std::vector<StepLock> locks_;
};

}  // namespace

std::vector<StepLock> step_locks(
    pg::Connection& connection, const plan::Plan& plan,
    const std::vector<exchange::ExchangeTable>& tables,
    const RunOptions& options) {
  const milliseconds deadlock_timeout(
      connection
          .exec("SELECT setting FROM pg_catalog.pg_settings"
                " WHERE name = 'deadlock_timeout'")
          .number<std::int64_t>(0, 0));
  Names sources;
  for (const catalog::Table& source : plan.sources) {
    sources.push_back(source.name.display());
  }
  return Steps(std::move(sources),
               exchange::planned_locks(connection, tables,
                                       plan.names.publication),
               options, deadlock_timeout)
      .list();
}

}  // namespace pgrecast::migration
