#include "pgrecast/cli/plan_text.h"

#include "pgrecast/cli/lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace pgrecast::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

migration::PlanReport report_of_orders() {
  migration::PlanReport report;
  plan::Plan& plan = report.plan;
  plan.names = plan::make_names("orders", 5);
  catalog::Table source;
  source.name = {.schema = "public", .name = "orders"};
  catalog::KeyColumn id;
  id.name = "id";
  source.key.emplace();
  source.key->columns.push_back(id);
  plan.sources.push_back(source);
  plan::TableTarget target;
  target.source = source.name;
  target.shadow = {.schema = "pgrecast_orders", .name = "orders"};
  target.retired = {.schema = "pgrecast_orders_retired", .name = "orders"};
  plan.targets.push_back(target);
  plan.schemas = {"pgrecast_orders", "pgrecast_orders_retired"};
  plan.warnings = {
      "max_slot_wal_keep_size is unlimited: a host that dies leaves a slot "
      "behind, which fills the disk of the primary"};
  constexpr std::int64_t kMega = 1 << 20;
  migration::TableReport table;
  table.size.rows = 1234567;
  table.size.rows_known = true;
  table.size.heap_bytes = 300 * kMega;
  table.size.index_bytes = 80 * kMega;
  table.size.index_count = 2;
  table.columns = {{"id", "", "integer NOT NULL DEFAULT nextval('s')",
                    "bigint NOT NULL DEFAULT nextval('s')"},
                   {"region", "", "", "text"},
                   {"remark", "note", "text", "text"},
                   {"paid", "", "boolean", "boolean"},
                   {"old", "", "integer", ""}};
  table.changes = {{"index orders_region_idx", "", " USING btree (region)"}};
  table.partitions = {{"p_new", "", "FOR VALUES IN (1)"},
                      {"p_other", "FOR VALUES IN (2)", "FOR VALUES IN (3)"},
                      {"p_same", "DEFAULT", "DEFAULT"},
                      {"p_gone", "FOR VALUES IN (1)", ""}};
  table.rows = {{2, {"region"}, "country = 'DE'", false},
                {3, {}, "id < 0", true}};
  table.ddl = {"CREATE TABLE public.orders (\n  id bigint\n)"};
  table.select = "SELECT \"id\" FROM ONLY \"public\".\"orders\"";
  table.carried = {{"triggers", {"audit", "touch"}, "made again"}};
  table.silent_triggers = {"audit"};
  report.tables.push_back(table);
  const std::vector<std::string> on{"public.orders"};
  report.locks = {
      {"prepare", "SHARE UPDATE EXCLUSIVE", on, "an instant", "2 min", "DDL"},
      {"copy", "ACCESS SHARE", on, "0.5 s a time", "10 s", "DDL"},
      {"verify", "ACCESS SHARE", on, "0.5 s a time", "10 s", "DDL"},
      {"cutover",
       "ACCESS EXCLUSIVE",
       {"public.v", "public.orders"},
       "2 s",
       "300 ms",
       "everybody"}};
  return report;
}

std::string squeezed(std::string text) {
  std::erase(text, '\n');
  std::erase(text, ' ');
  return text;
}

TEST(PlanText, SaysWhatChanges) {
  const std::string text = plan_text(report_of_orders());
  EXPECT_THAT(text, HasSubstr(R"(
public.orders
  about 1.2M rows, 300MB and 2 indexes of 80.0MB, key (id)
  ~ id      integer -> bigint
  + region  text
  ~ remark  was note
  - old     integer
    1 column stays as it is
  ~ values of region, where country = 'DE'
  - rows, where id < 0: they stay in the old table
  + index orders_region_idx USING btree (region)
  ~ partition p_other FOR VALUES IN (2) -> FOR VALUES IN (3)
  - 1 partition: p_gone
  + 1 partition: p_new
    1 partition stays as it is
  ! trigger audit: not fired; by hand the script's UPDATE or DELETE would do so
)"));
}

TEST(PlanText, SaysForHowLongWhichLocksAreHeld) {
  EXPECT_THAT(plan_text(report_of_orders()), HasSubstr(R"(
Locks on what others use
  prepare      SHARE UPDATE EXCLUSIVE  the table: an instant
  copy-verify  ACCESS SHARE            the table: 0.5 s a time
  cutover      ACCESS EXCLUSIVE        the table, public.v: everybody waits, 2 s
)"));
}

TEST(PlanText, SaysWhoWaitsForALock) {
  migration::PlanReport report = report_of_orders();
  report.locks = {
      {"cutover", "SHARE ROW EXCLUSIVE", {"s"}, "2 s", "300 ms", "nextval()"},
      {"after", "SHARE ROW EXCLUSIVE", {"t"}, "an instant", "0 s", "writers"}};
  EXPECT_THAT(plan_text(report), HasSubstr(R"(
  cutover      SHARE ROW EXCLUSIVE     s: nextval() waits, 2 s
  after        SHARE ROW EXCLUSIVE     t: writers wait, an instant
)"));
}

TEST(PlanText, LocksAPartitionedTableWithItsPartitions) {
  migration::PlanReport report = report_of_orders();
  report.plan.sources[0].kind = 'p';
  EXPECT_THAT(plan_text(report), HasSubstr("the table with all partitions: "));
}

TEST(PlanText, NamesTheFirstOfManyPartitions) {
  migration::PlanReport report = report_of_orders();
  report.tables[0].partitions.clear();
  for (int i = 0; i < 30; ++i) {
    report.tables[0].partitions.push_back({"p" + std::to_string(i), "", "x"});
  }
  EXPECT_THAT(plan_text(report),
              HasSubstr("  + 30 partitions: p0, p1, p2, p3, p4, p5, p6, p7, "
                        "and 22 more\n"));
}

TEST(PlanText, LeavesDetailsOutWhereTheyAreNotWanted) {
  const std::string text = plan_text(report_of_orders());
  for (const char* detail :
       {"  triggers              2  audit, touch\n",
        "  publication pgrecast_orders\n", "  CREATE TABLE public.orders (\n",
        "  SELECT \"id\" FROM ONLY"}) {
    EXPECT_THAT(text, HasSubstr(detail));
    EXPECT_THAT(plan_text(report_of_orders(), {.detailed = false}),
                Not(HasSubstr(detail)));
  }
}

TEST(PlanText, FitsIntoATerminal) {
  for (const std::size_t columns : {std::size_t{60}, kColumns}) {
    std::istringstream lines(
        plan_text(report_of_orders(), {.columns = columns}));
    for (std::string line; std::getline(lines, line);) {
      EXPECT_LE(line.size(), columns) << line;
    }
  }
}

TEST(PlanText, IsTheSameInColoursAndWithout) {
  const std::string plain = plan_text(report_of_orders());
  std::string coloured = plan_text(report_of_orders(), {.colour = true});
  EXPECT_THAT(coloured, HasSubstr("\x1b[32m  + region  text\x1b[0m\n"));
  for (const char* code :
       {"\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m"}) {
    for (std::size_t at = coloured.find(code); at != std::string::npos;
         at = coloured.find(code)) {
      coloured.erase(at, std::string_view(code).size());
    }
  }
  EXPECT_EQ(coloured, plain);
}

// A name may hold whatever its maker likes: it must not clear the screen.
TEST(PlanText, PrintsNoControlCharactersOfNames) {
  migration::PlanReport report = report_of_orders();
  report.tables[0].columns[1].name = "re\x1b[2Jgi\xc2\x9bon\x7f";
  report.tables[0].ddl = {"CREATE TABLE \"\x1b[2J\" ()"};
  const std::string text = plan_text(report);
  EXPECT_THAT(text, HasSubstr("re?[2Jgi?on?"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
}

TEST(PlanText, ShowsTheSettingsThatDecideAndWhatIsTakenWithoutEffect) {
  migration::PlanReport report = report_of_orders();
  plan::Plan& plan = report.plan;
  plan.settings_at_start = {
      {"DateStyle", "ISO, MDY"}, {"TimeZone", "UTC"}, {"xmlbinary", "base64"}};
  plan.settings = plan.settings_at_start;
  plan.settings["TimeZone"] = "Asia/Tokyo";
  plan.settings["app.tenant"] = "7";
  plan.notes = {"SET lock_timeout = '1s' has no effect"};
  const std::string text = plan_text(report);
  EXPECT_THAT(text, HasSubstr("  - SET lock_timeout = '1s' has no effect\n"));
  EXPECT_THAT(text, Not(HasSubstr("xmlbinary")));
  // Wherever the lines are broken.
  EXPECT_THAT(squeezed(text),
              HasSubstr("DateStyle=ISO,MDY;TimeZone=Asia/Tokyo(setbythe"
                        "script);app.tenant=7(setbythescript)"));
}

TEST(PlanText, DoesNotGuessTheRowsOfATableThatWasNeverAnalyzed) {
  migration::PlanReport report = report_of_orders();
  report.tables[0].size.rows_known = false;
  EXPECT_THAT(plan_text(report), HasSubstr("rows not known (never analyzed)"));
}

TEST(PlanText, WrapsSqlOutsideOfItsQuotesOnly) {
  const std::string quoted(70, 'q');
  EXPECT_EQ(wrapped_sql("  ", "SELECT 'a  b', '" + quoted + " ' AS c"),
            "  SELECT 'a  b',\n    '" + quoted + " ' AS\n    c\n");
  const std::string dollars = "SELECT $$" + quoted + " " + quoted + "$$";
  EXPECT_EQ(wrapped_sql("", dollars), dollars + "\n");
}

}  // namespace
}  // namespace pgrecast::cli
