#include "pgrecast/cli/status_text.h"

#include "pgrecast/cli/lines.h"
#include "pgrecast/migration/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <sstream>
#include <string>

namespace pgrecast::cli {
namespace {

using migration::MigrationStatus;
using migration::Phase;
using testing::HasSubstr;
using testing::Not;

MigrationStatus copying_status() {
  migration::ProgressData data;
  data.phase = Phase::kCopying;
  data.tables.push_back({.name = "public.orders",
                         .blocks = 200,
                         .blocks_copied = 50,
                         .rows_copied = 5000,
                         .rows_verified = 0,
                         .rows_estimate = 20000});
  data.dirty_keys = 17;
  data.lag_bytes = 2048;
  data.retained_bytes = std::int64_t{16} * 1024 * 1024;
  MigrationStatus status;
  status.record.name = "orders";
  status.record.id = "5d0e0ff8-0000-4000-8000-000000000000";
  status.record.phase = Phase::kCopying;
  status.record.slot = "pgrecast_orders_0123456789abcdef";
  status.record.publication = "pgrecast_orders";
  status.tables = {"public.orders"};
  status.running = true;
  status.heartbeat = migration::Heartbeat{.host = "db1",
                                          .pid = 4711,
                                          .age_seconds = 0.4,
                                          .status_json = data.to_json()};
  status.events.push_back({.at = "2026-01-02 03:04:05+00",
                           .by = "deploy",
                           .event = "phase",
                           .detail = "copying"});
  return status;
}

TEST(StatusJson, HasEveryDocumentedField) {
  const auto json = nlohmann::json::parse(status_json({copying_status()}));
  EXPECT_EQ(json.at("version"), 1);
  ASSERT_EQ(json.at("migrations").size(), 1U);
  const auto& one = json.at("migrations").at(0);
  EXPECT_EQ(one.at("name"), "orders");
  EXPECT_EQ(one.at("id"), "5d0e0ff8-0000-4000-8000-000000000000");
  EXPECT_EQ(one.at("phase"), "copying");
  EXPECT_EQ(one.at("tables"), nlohmann::json::array({"public.orders"}));
  EXPECT_EQ(one.at("running"), true);
  EXPECT_EQ(one.at("verified"), false);
  EXPECT_EQ(one.at("slot"), "pgrecast_orders_0123456789abcdef");
  EXPECT_EQ(one.at("publication"), "pgrecast_orders");
  EXPECT_EQ(one.at("next"), "wait");
  EXPECT_EQ(one.at("host"), "db1");
  EXPECT_EQ(one.at("pid"), 4711);
  EXPECT_DOUBLE_EQ(one.at("heartbeat_age_seconds"), 0.4);
  EXPECT_EQ(one.at("events").at(0).at("event"), "phase");
  const auto& progress = one.at("progress");
  EXPECT_EQ(progress.at("phase"), "copying");
  EXPECT_EQ(progress.at("dirty_keys"), 17);
  EXPECT_EQ(progress.at("lag_bytes"), 2048);
  EXPECT_EQ(progress.at("retained_bytes"), 16 * 1024 * 1024);
  EXPECT_EQ(progress.at("tables").at(0).at("rows_copied"), 5000);
  EXPECT_EQ(progress.at("tables").at(0).at("blocks"), 200);
}

TEST(StatusJson, IsAnEmptyListWithoutMigrations) {
  const auto json = nlohmann::json::parse(status_json({}));
  EXPECT_TRUE(json.at("migrations").is_array());
  EXPECT_TRUE(json.at("migrations").empty());
}

TEST(StatusJson, HasNoProcessBeforeTheFirstHeartbeat) {
  MigrationStatus status = copying_status();
  status.heartbeat.reset();
  const auto json = nlohmann::json::parse(status_json({status}));
  const auto& one = json.at("migrations").at(0);
  EXPECT_FALSE(one.contains("pid"));
  EXPECT_TRUE(one.at("progress").empty());
}

// Keys are, in a database of encoding SQL_ASCII.
TEST(StatusJson, IsJsonWhateverBytesAnEventHas) {
  MigrationStatus status = copying_status();
  status.events[0].detail = "key=caf\xe9";
  EXPECT_THAT(status_json({status}), HasSubstr("key=caf\xef\xbf\xbd"));
}

TEST(StatusText, SaysHowFarItIsAndWhoDoesIt) {
  const std::string text = status_text(copying_status());
  EXPECT_THAT(text, HasSubstr("  phase     copying\n"));
  EXPECT_THAT(text, HasSubstr("5000 rows, 50 of 200 blocks"));
  EXPECT_THAT(text, HasSubstr("4711 on db1"));
  EXPECT_THAT(text, HasSubstr("16.0MB of WAL"));
}

TEST(StatusText, SaysHowToGoOn) {
  MigrationStatus status = copying_status();
  status.running = false;
  EXPECT_THAT(status_text(status), HasSubstr("the same `pgrecast run`"));
  status.running = true;
  status.record.phase = Phase::kReady;
  EXPECT_THAT(status_text(status), HasSubstr("pgrecast cutover orders"));
  status.running = false;
  status.record.phase = Phase::kDone;
  EXPECT_THAT(status_text(status), HasSubstr("pgrecast finish orders"));
  EXPECT_THAT(status_text(status), Not(HasSubstr("dirty")));
}

TEST(StatusText, BreaksLongLines) {
  MigrationStatus status = copying_status();
  for (int i = 0; i < 20; ++i) {
    status.tables.push_back("public.table_number_" + std::to_string(i));
  }
  status.events[0].detail = "a difference that takes many words " +
                            std::string("to tell, ") + "and then some more";
  std::istringstream lines(status_text(status));
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), kColumns) << line;
  }
}

TEST(ListText, HasALineForEachMigration) {
  MigrationStatus other = copying_status();
  other.record.name = "customers";
  other.running = false;
  const std::string text = list_text({copying_status(), other});
  EXPECT_THAT(text, HasSubstr("orders                   copying      running"));
  EXPECT_THAT(text, HasSubstr("customers                copying      -"));
  EXPECT_EQ(list_text({}), "no migrations in this database\n");
}

}  // namespace
}  // namespace pgrecast::cli
