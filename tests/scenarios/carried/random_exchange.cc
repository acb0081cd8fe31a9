#include "scenarios/carried/random_exchange.h"

#include "scenarios/carried/exchanged.h"
#include "scenarios/carried/random_database.h"
#include "support/manual.h"

#include <algorithm>
#include <array>
#include <iostream>
#include <string_view>

namespace pgrecast::test {
namespace {

using Texts = std::vector<std::string>;

// What is refused although the server would do it: carried.md says so.
constexpr std::array<std::string_view, 5> kRefusedAlone = {
    ", as whom the role may not act",
    ", which must be created anew with the new table",
    " is to be filled beforehand, ",
    ": another relation has the name of one that it reads",
    " has REPLICA IDENTITY FULL and a generated column: ",
};

const RandomRoles kRoles = {.owner = "\"The Owner\"",
                            .keeper = "keeper",
                            .reader = "\"reader's\"",
                            .stranger = "stranger"};

Texts all_roles() {
  return {kRoles.owner, kRoles.keeper, kRoles.reader, kRoles.stranger};
}

void make(Database& database, const RandomDatabase& random) {
  Session superuser = database.superuser_session();
  for (const std::string& role : all_roles()) {
    superuser.try_exec("CREATE ROLE " + role);  // there from the last seed
  }
  superuser.exec(fmt::format(
      "GRANT {0}, {1}, {2} TO \"{3}\"; ALTER ROLE \"{3}\" BYPASSRLS; "
      "GRANT CREATE ON DATABASE \"{4}\" TO {0}",
      kRoles.owner, kRoles.keeper, kRoles.reader, database.role(),
      database.name()));
  for (const std::string& statement : random.statements) {
    superuser.try_exec(statement);
  }
}

Comparison compare(PgCluster& cluster, const RandomDatabase& random) {
  Database database(cluster);
  make(database, random);
  return compare_with_by_hand(database, random.script, all_roles());
}

// What must not be. Empty: all is well.
Texts faults(const Comparison& comparison) {
  Texts all = comparison.differences;
  if (!comparison.failure.empty()) all.push_back(comparison.failure);
  for (const std::string& refusal : comparison.refusals) {
    const bool known = std::ranges::any_of(kRefusedAlone, [&](auto part) {
      return refusal.find(part) != std::string::npos;
    });
    if (!is_in_manual(refusal)) all.push_back("not in the manual: " + refusal);
    if (!known && comparison.by_hand.empty()) {
      all.push_back("refused, and not by the server: " + refusal);
    }
  }
  return all;
}

// Fewer statements with which something still is at fault.
RandomDatabase reduced(PgCluster& cluster, RandomDatabase random) {
  for (std::size_t size = random.statements.size() / 2; size > 0; size /= 2) {
    for (std::size_t at = random.statements.size(); at > 0;) {
      const std::size_t from = at > size ? at - size : 0;
      RandomDatabase less = random;
      less.statements.clear();
      for (std::size_t i = 0; i < random.statements.size(); ++i) {
        if (i >= from && i < at) continue;
        less.statements.push_back(random.statements[i]);
      }
      if (!faults(compare(cluster, less)).empty()) random = less;
      at = std::min(from, random.statements.size());
    }
  }
  return random;
}

void tell(PgCluster& cluster, const RandomDatabase& random) {
  const RandomDatabase less = reduced(cluster, random);
  std::cout << "-- the fewest statements:\n";
  for (const std::string& one : less.statements) std::cout << one << ";\n";
  std::cout << "-- the script:\n";
  for (const std::string& one : less.script) std::cout << one << ";\n";
  std::cout << "-- what is wrong then (-: by hand, +: by the exchange):\n";
  for (const std::string& one : faults(compare(cluster, less))) {
    std::cout << "  " << one << "\n";
  }
}

}  // namespace

RandomOutcome expect_as_by_hand(PgCluster& cluster, std::uint64_t seed) {
  const RandomDatabase random =
      random_database(seed, cluster.version(), kRoles);
  const Comparison comparison = compare(cluster, random);
  const Texts wrong = faults(comparison);
  std::cout << "seed " << seed << ": "
            << (!wrong.empty()                ? "wrong"
                : comparison.compared         ? "compared"
                : comparison.refusals.empty() ? "not done by hand"
                                              : "refused")
            << std::endl;
  if (!wrong.empty()) {
    std::string lines;
    for (const std::string& line : wrong) lines += "\n  " + line;
    ADD_FAILURE() << "seed " << seed << lines;
    tell(cluster, random);
    return RandomOutcome::kFailed;
  }
  if (!comparison.refusals.empty()) return RandomOutcome::kRefused;
  return comparison.compared ? RandomOutcome::kCompared
                             : RandomOutcome::kNotByHand;
}

}  // namespace pgrecast::test
