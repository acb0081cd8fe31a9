// Masking goes by security labels: the new table must have them as soon as
// anybody can see it, or the plan must say why not.

#include "scenarios/carried/operation.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <filesystem>
#include <system_error>

namespace pgrecast::test {
namespace {

using ::testing::HasSubstr;

class SecurityLabelsTest : public Operation {
 protected:
  void SetUp() override {
    if (cluster().version() != 15) {
      GTEST_SKIP() << "the provider is built for PostgreSQL 15";
    }
    library_ = cluster().folder() + "/label_provider.so";
    // Where the server's user may read it.
    std::filesystem::copy_file(
        PGRECAST_LABEL_PROVIDER, library_,
        std::filesystem::copy_options::overwrite_existing);
    std::filesystem::permissions(library_, std::filesystem::perms(0755));
    load_provider();
    session().exec(R"sql(
CREATE TABLE t (id int PRIMARY KEY, name text, "odd ) of" text, gone text, a int, b int);
INSERT INTO t SELECT g, g, g, g, g, g FROM generate_series(1, 100) g;
SECURITY LABEL FOR masking ON TABLE t IS 'it''s the table';
SECURITY LABEL FOR masking ON COLUMN t.name IS 'MASKED WITH FUNCTION f(name)';
SECURITY LABEL FOR masking ON COLUMN t."odd ) of" IS 'odd';
SECURITY LABEL FOR masking ON COLUMN t.gone IS 'gone';
SECURITY LABEL FOR masking ON COLUMN t.a IS 'of a';
SECURITY LABEL FOR masking ON COLUMN t.b IS 'of b')sql");
  }

  void load_provider() {
    superuser_session().exec(
        fmt::format("ALTER DATABASE \"{}\" SET session_preload_libraries = "
                    "'{}'",
                    database().name(), library_));
  }
  void forget_provider() {
    superuser_session().exec(
        fmt::format("ALTER DATABASE \"{}\" RESET session_preload_libraries",
                    database().name()));
  }

  std::string labels() {
    return session().query_value(R"sql(
SELECT string_agg(coalesce(a.attname, 't') || '=' || l.label, ', ' ORDER BY l.objsubid)
FROM pg_seclabel l
LEFT JOIN pg_attribute a ON a.attrelid = l.objoid AND a.attnum = l.objsubid
WHERE l.objoid = 't'::regclass AND l.classoid = 'pg_class'::regclass)sql");
  }

 private:
  std::string library_;
};

TEST_F(SecurityLabelsTest, OfTheTableAndItsColumnsComeAlong) {
  migrate("labels",
          "ALTER TABLE t ALTER id TYPE bigint, DROP gone; "
          "ALTER TABLE t RENAME a TO c; ALTER TABLE t RENAME b TO a; "
          "ALTER TABLE t RENAME c TO b");

  EXPECT_EQ(labels(),
            "t=it's the table, name=MASKED WITH FUNCTION f(name), "
            "odd ) of=odd, b=of a, a=of b");
  command("finish", "labels");
}

// A role that may read every table sees nothing of the rows before the labels
// are there.
TEST_F(SecurityLabelsTest, OneThatCameMeanwhileComesAlong) {
  Program run = start("labels", "ALTER TABLE t ALTER id TYPE bigint",
                      {"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");
  Session reader = superuser_session();
  reader.exec("SET ROLE pg_read_all_data");
  EXPECT_EQ(reader.query_value("SELECT count(*) FROM pgrecast_labels.t"), "0");
  EXPECT_EQ(reader.query_value("SELECT count(*) FROM t"), "100");
  session().exec("SECURITY LABEL FOR masking ON COLUMN t.name IS 'another'");

  command("cutover", "labels");

  ASSERT_EQ(run.wait(), 0) << run.output();
  EXPECT_THAT(labels(), HasSubstr("name=another"));
  EXPECT_EQ(reader.query_value("SELECT count(*) FROM t"), "100");
  command("finish", "labels");
}

TEST_F(SecurityLabelsTest, ThePlanNamesThoseThatComeAlong) {
  std::string output;
  EXPECT_EQ(plan("labels", "ALTER TABLE t ALTER id TYPE bigint", &output), 0);

  EXPECT_THAT(output, HasSubstr("security labels"));
}

TEST_F(SecurityLabelsTest, AProviderThatIsNotLoadedIsRefused) {
  forget_provider();

  std::string output;
  EXPECT_EQ(plan("labels", "ALTER TABLE t ALTER id TYPE bigint", &output), 3);

  EXPECT_THAT(output, HasSubstr("the security label of masking on column name "
                                "of table public.t"));
  EXPECT_THAT(output, HasSubstr("session_preload_libraries"));
}

// Taken once, when the provider was another version, say.
TEST_F(SecurityLabelsTest, ALabelThatItsProviderDoesNotTakeIsRefused) {
  superuser_session().exec(
      "SET allow_system_table_mods = on; UPDATE pg_seclabel SET label = "
      "'forbidden' WHERE label = 'of b'");

  std::string output;
  EXPECT_EQ(plan("labels", "ALTER TABLE t ALTER id TYPE bigint", &output), 3);

  EXPECT_THAT(output, HasSubstr("this label is not taken"));
}

}  // namespace
}  // namespace pgrecast::test
