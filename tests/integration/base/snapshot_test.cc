#include "pgrecast/base/snapshot.h"

#include "support/test_database.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace pgrecast {
namespace {

// What pg_visible_in_snapshot says of every xid from `first` to `last`.
std::vector<std::string> as_the_server_sees(test::Session& session,
                                            const std::string& snapshot,
                                            std::uint64_t first,
                                            std::uint64_t last) {
  const test::Rows rows = session.query_rows(
      "SELECT pg_visible_in_snapshot(x::text::xid8, $1::pg_snapshot) "
      "FROM generate_series($2::bigint, $3::bigint) x ORDER BY x",
      snapshot, first, last);
  std::vector<std::string> answers;
  answers.reserve(rows.size());
  for (const test::Row& row : rows) answers.push_back(row.front());
  return answers;
}

std::vector<std::string> as_we_see(const std::string& text, std::uint64_t first,
                                   std::uint64_t last) {
  const Snapshot snapshot = Snapshot::parse(text);
  std::vector<std::string> answers;
  for (std::uint64_t xid = first; xid <= last; ++xid) {
    answers.emplace_back(snapshot.sees(Xid64{xid}) ? "t" : "f");
  }
  return answers;
}

// The first xid of the second epoch: never given out, and the server takes no
// snapshot that names it.
constexpr std::uint64_t kWraparound = std::uint64_t{1} << 32U;

// The server's own notation and judgement, over snapshots of every kind: none
// in progress, many (it searches 30 and more in another way), around 2^32.
RC_GTEST_PROP(SnapshotAgainstServer, SeesWhatTheServerSees, ()) {
  static test::Session session = test::SharedCluster::get().session();
  constexpr std::uint64_t kWidthMax = 100;
  const auto xmin = *rc::gen::elementOf(std::vector<std::uint64_t>{
      3, 1000, kWraparound - 50, 256 * kWraparound + 1000});
  auto xmax = xmin + *rc::gen::inRange<std::uint64_t>(1, kWidthMax);
  if (xmax == kWraparound) ++xmax;
  auto running = *rc::gen::container<std::set<std::uint64_t>>(
      rc::gen::inRange<std::uint64_t>(xmin, xmax));
  running.erase(kWraparound);
  const std::string text =
      fmt::format("{}:{}:{}", xmin, xmax, fmt::join(running, ","));

  RC_ASSERT(as_we_see(text, xmin - 2, xmax + 2) ==
            as_the_server_sees(session, text, xmin - 2, xmax + 2));
}

using SnapshotOnServer = test::TestDatabase;

TEST_F(SnapshotOnServer, DoesNotSeeARunningTransactionUntilItCommits) {
  test::Session writer = session();
  test::Session reader = session();
  writer.exec("BEGIN");
  const Xid64 xid{
      std::stoull(writer.query_value("SELECT pg_current_xact_id()::text"))};
  const char* snapshot_of_now = "SELECT pg_current_snapshot()::text";

  const std::string before = reader.query_value(snapshot_of_now);
  writer.exec("COMMIT");
  const std::string after = reader.query_value(snapshot_of_now);

  EXPECT_FALSE(Snapshot::parse(before).sees(xid)) << before;
  EXPECT_TRUE(Snapshot::parse(after).sees(xid)) << after;
}

}  // namespace
}  // namespace pgrecast
