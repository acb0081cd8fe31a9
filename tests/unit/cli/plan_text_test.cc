#include "pgrecast/cli/plan_text.h"

#include "pgrecast/cli/lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>

namespace pgrecast::cli {
namespace {

using testing::HasSubstr;

plan::Plan plan_of_orders() {
  plan::Plan plan;
  plan.names = plan::make_names("orders", 5);
  catalog::Table source;
  source.name = {.schema = "public", .name = "orders"};
  source.rows_estimate = 1234567;
  source.bytes = std::int64_t{300} * 1024 * 1024;
  catalog::KeyColumn id;
  id.name = "id";
  source.key.emplace();
  source.key->columns.push_back(id);
  plan.sources.push_back(source);
  plan::TableTarget target;
  target.source = source.name;
  target.shadow = {.schema = "pgrecast_orders", .name = "orders"};
  target.retired = {.schema = "pgrecast_orders_retired", .name = "orders"};
  target.key_index.name = "orders_pkey";
  plan::ShadowIndex index;
  index.name = "orders_region_idx";
  target.indexes.push_back(index);
  target.changes = {"column id from integer to bigint"};
  plan.targets.push_back(target);
  plan.schemas = {"pgrecast_orders", "pgrecast_orders_retired"};
  plan.warnings = {
      "max_slot_wal_keep_size is unlimited: a host that dies leaves a slot "
      "behind, which fills the disk of the primary"};
  return plan;
}

TEST(PlanText, SaysWhatChangesAndWhatIsMade) {
  const std::string text = plan_text(plan_of_orders());
  EXPECT_THAT(text, HasSubstr("Table public.orders: about 1.2M rows, 300MB, "
                              "key (id)\n"));
  EXPECT_THAT(text, HasSubstr("  - column id from integer to bigint\n"));
  EXPECT_THAT(text, HasSubstr("orders_pkey, orders_region_idx\n"));
  EXPECT_THAT(text, HasSubstr("pgrecast_orders_retired.orders"));
  EXPECT_THAT(text, HasSubstr("publication pgrecast_orders\n"));
}

TEST(PlanText, FitsIntoATerminal) {
  std::istringstream lines(plan_text(plan_of_orders()));
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), kColumns) << line;
  }
}

TEST(PlanText, ShowsTheSettingsThatDecideAndWhatIsTakenWithoutEffect) {
  plan::Plan plan = plan_of_orders();
  plan.settings_at_start = {
      {"DateStyle", "ISO, MDY"}, {"TimeZone", "UTC"}, {"xmlbinary", "base64"}};
  plan.settings = plan.settings_at_start;
  plan.settings["TimeZone"] = "Asia/Tokyo";
  plan.settings["app.tenant"] = "7";
  plan.notes = {"SET lock_timeout = '1s' has no effect"};
  std::string text = plan_text(plan);
  EXPECT_THAT(text, HasSubstr("note: SET lock_timeout = '1s' has no effect\n"));
  EXPECT_THAT(text, testing::Not(HasSubstr("xmlbinary")));
  // Wherever the lines are broken.
  std::erase(text, '\n');
  std::erase(text, ' ');
  EXPECT_THAT(text, HasSubstr("DateStyle=ISO,MDY;TimeZone=Asia/Tokyo(setbythe"
                              "script);app.tenant=7(setbythescript)"));
}

TEST(PlanText, DoesNotGuessTheRowsOfATableThatWasNeverAnalyzed) {
  plan::Plan plan = plan_of_orders();
  plan.sources[0].rows_estimate = 0;
  EXPECT_THAT(plan_text(plan), HasSubstr("rows not known (never analyzed)"));
}

}  // namespace
}  // namespace pgrecast::cli
