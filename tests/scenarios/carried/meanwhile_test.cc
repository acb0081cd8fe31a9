// What somebody does to the table while it is being migrated: it comes along,
// or the migration stops and says what differs. Nothing is lost. At two
// moments: while rows are copied, and when all is ready for the exchange.

#include "scenarios/carried/operation.h"
#include "support/catalog_dump.h"
#include "support/schema_dump.h"

#include <csignal>

namespace pgrecast::test {
namespace {

// {}: the type that the script changes.
constexpr const char* kTables = R"sql(
CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v {}, w text);
INSERT INTO t (v, w) SELECT g, 'w' FROM generate_series(1, 3000) g;
CREATE TABLE o (id int PRIMARY KEY, x int, z bigint);
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER there BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f();
CREATE POLICY there ON t USING (v > 0);
CREATE VIEW vw AS SELECT v, w FROM t;
CREATE PUBLICATION feed FOR TABLE o;
CREATE STATISTICS st ON v, w FROM t;
ALTER TABLE t ADD CONSTRAINT self FOREIGN KEY (v) REFERENCES t NOT VALID;
ANALYZE t)sql";

struct Change {
  const char* name;
  const char* sql;
  // Where it stops the migration: what is said, and how it is undone. Within a
  // second, or else in the exchange.
  const char* stopped = "";
  const char* undo = "";
  bool in_exchange = false;
};

void PrintTo(const Change& change, std::ostream* out) {
  *out << change.sql;
}

class MeanwhileTest : public Operation,
                      public ::testing::WithParamInterface<Change> {
 protected:
  static constexpr const char* kScript = "ALTER TABLE t ALTER v TYPE bigint";
  static constexpr int kKilled = 128 + SIGKILL;
  static constexpr int kStopped = 3;
  static constexpr int kNotCutOver = 5;

  void SetUp() override {
    superuser_session().exec(fmt::format(
        "CREATE ROLE \"{0}\"; GRANT \"{0}\" TO \"{1}\"; GRANT USAGE, CREATE ON "
        "SCHEMA public TO \"{0}\"",
        other_role(), database().role()));
  }
  void TearDown() override {
    const std::string role = other_role();
    database().drop();
    cluster().session().exec(fmt::format("DROP ROLE \"{}\"", role));
  }

  std::string other_role() { return database().name() + "-other"; }

  std::string change(const char* sql) {
    std::string text = sql;
    if (const auto at = text.find("@other@"); at != std::string::npos) {
      text.replace(at, 7, "\"" + other_role() + "\"");
    }
    return text;
  }

  std::vector<std::string> catalogs() {
    Session superuser = superuser_session();
    return catalog_dump(superuser);
  }

  // What the change makes of the catalogs, apart from the migration.
  std::vector<std::string> effect_by_hand() {
    const auto before = catalogs();
    Session by_hand = superuser_session();
    by_hand.exec("BEGIN; SET LOCAL ROLE \"" + database().role() + "\"");
    by_hand.exec(change(GetParam().sql));
    by_hand.exec("SET LOCAL ROLE NONE");
    const auto after = catalog_dump(by_hand);
    by_hand.exec("ROLLBACK");
    return dump_difference(before, after);
  }

  bool stops() { return *GetParam().stopped != '\0'; }

  // The run that meets the change.
  void expect_end(Program& run) {
    const int code = GetParam().in_exchange ? kNotCutOver : kStopped;
    EXPECT_EQ(run.wait(), stops() ? code : 0) << run.output();
    if (!stops()) return;
    EXPECT_NE(run.output().find(GetParam().stopped), std::string::npos)
        << run.output();
    session().exec(change(GetParam().undo));
    Program again = start("meanwhile", kScript);
    EXPECT_EQ(again.wait(), 0) << again.output();
  }

  // What is different now, but for the column's type, is what it did.
  void expect_nothing_lost(const std::vector<std::string>& untouched) {
    command("finish", "meanwhile");
    const std::vector<std::string> none;
    EXPECT_EQ(dump_difference(untouched, catalogs()), stops() ? none : effect_);
  }

  // As if the tables had always been what the script makes of them.
  std::vector<std::string> made_so() {
    session().exec(fmt::format(kTables, "bigint"));
    effect_ = effect_by_hand();
    auto untouched = catalogs();
    session().exec(
        "DROP TABLE t CASCADE; DROP TABLE o; DROP FUNCTION f; "
        "DROP PUBLICATION feed");
    session().exec(fmt::format(kTables, "int"));
    return untouched;
  }

  std::vector<std::string> effect_;
};

class WhileCopiedTest : public MeanwhileTest {};
class ReadyTest : public MeanwhileTest {};

TEST_P(WhileCopiedTest, ItIsNotLost) {
  const auto untouched = made_so();
  Program killed = start("meanwhile", kScript, {"--cutover", "manual"},
                         {"PGRECAST_STOP_AT=copy:after_commit"});
  ASSERT_EQ(killed.wait(), kKilled) << killed.output();

  session().exec(change(GetParam().sql));
  Program run = start("meanwhile", kScript);

  expect_end(run);
  expect_nothing_lost(untouched);
}

TEST_P(ReadyTest, ItIsNotLost) {
  const auto untouched = made_so();
  Program run = start("meanwhile", kScript, {"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");

  session().exec(change(GetParam().sql));
  if (!stops() || GetParam().in_exchange) command("cutover", "meanwhile");

  expect_end(run);
  expect_nothing_lost(untouched);
}

const std::vector<Change> kComesAlong = {
    Change{"Grant", "GRANT SELECT, UPDATE (w) ON t TO pg_monitor"},
    Change{"GrantOnTheIdentity",
           "GRANT USAGE ON SEQUENCE t_id_seq TO pg_monitor"},
    Change{"GrantOnAView", "GRANT SELECT (w) ON vw TO PUBLIC"},
    Change{"Trigger",
           "CREATE TRIGGER tr AFTER UPDATE ON t FOR EACH ROW WHEN (NEW.v > "
           "5) EXECUTE FUNCTION f(); COMMENT ON TRIGGER tr ON t IS 'x'"},
    Change{"TriggersState", "ALTER TABLE t DISABLE TRIGGER there"},
    Change{"Rule", "CREATE RULE ru AS ON DELETE TO t DO ALSO NOTIFY gone"},
    Change{"Policy",
           "CREATE POLICY p ON t FOR SELECT TO pg_monitor USING (v > 5); "
           "ALTER TABLE t ENABLE ROW LEVEL SECURITY"},
    Change{"PolicyChanged",
           "ALTER POLICY there ON t TO pg_monitor USING (v > 7)"},
    Change{"View",
           "CREATE VIEW above WITH (security_barrier) AS SELECT v FROM vw; "
           "COMMENT ON VIEW above IS 'x'; CREATE VIEW beside AS SELECT w "
           "FROM t"},
    Change{"ForeignKeyFromElsewhere",
           "ALTER TABLE o ADD CONSTRAINT in_there FOREIGN KEY (x) "
           "REFERENCES t ON DELETE CASCADE"},
    Change{"ForeignKeyToElsewhere",
           "ALTER TABLE t ADD CONSTRAINT out_there FOREIGN KEY (v) "
           "REFERENCES o NOT VALID"},
    Change{"Publication", "ALTER PUBLICATION feed ADD TABLE t"},
    Change{"Statistics",
           "CREATE STATISTICS new_st (ndistinct) ON id, v FROM t; COMMENT "
           "ON STATISTICS st IS 'x'; ALTER STATISTICS st SET STATISTICS 7; "
           "ANALYZE t"},
    Change{"CommentOnTheIdentity", "COMMENT ON SEQUENCE t_id_seq IS 'counts'"},
    Change{"AtomicFunction",
           "CREATE FUNCTION g() RETURNS bigint LANGUAGE sql BEGIN ATOMIC "
           "SELECT count(*) FROM t WHERE v > 0; END"},
    // The last: what the others do, its old owner does.
    Change{"Owner", "ALTER TABLE t OWNER TO @other@"}};

const std::vector<Change> kStops = {
    Change{"Comment", "COMMENT ON TABLE t IS 'x'",
           "changed by somebody while it was being migrated: comments: ",
           "COMMENT ON TABLE t IS NULL"},
    Change{"CommentOnAColumn", "COMMENT ON COLUMN t.w IS 'x'",
           "comments: ", "COMMENT ON COLUMN t.w IS NULL"},
    Change{"Index", "CREATE INDEX ind ON t (w)", "indexes: ", "DROP INDEX ind"},
    Change{"Options", "ALTER TABLE t SET (fillfactor = 71)",
           "storage options: ", "ALTER TABLE t RESET (fillfactor)"},
    Change{"ToastOptions", "ALTER TABLE t SET (toast.autovacuum_enabled = off)",
           "storage options: ",
           "ALTER TABLE t RESET "
           "(toast.autovacuum_enabled)"},
    Change{"ColumnStatistics", "ALTER TABLE t ALTER w SET STATISTICS 9",
           "storage options: ", "ALTER TABLE t ALTER w SET STATISTICS -1"},
    Change{"Default", "ALTER TABLE t ALTER w SET DEFAULT 'x'",
           "defaults: ", "ALTER TABLE t ALTER w DROP DEFAULT"},
    Change{"Check", "ALTER TABLE t ADD CONSTRAINT ch CHECK (v > -5)",
           "constraints: ", "ALTER TABLE t DROP CONSTRAINT ch"},
    Change{"IdentitysOptions", "ALTER SEQUENCE t_id_seq CACHE 7",
           "identities: ", "ALTER SEQUENCE t_id_seq CACHE 1"},
    Change{"RowTypeUsed", "CREATE TABLE u (kept t)",
           "column kept of table public.u depends on type public.t",
           "DROP TABLE u", true}};

// One run takes all that comes along: that none of it stops the run or is
// forgotten by then. What each does by itself, ReadyTest shows.
std::vector<Change> all_that_comes_along_and_each_that_stops() {
  static const std::string all = [] {
    std::string sql;
    for (const Change& change : kComesAlong)
      sql.append(change.sql).append("; ");
    return sql;
  }();
  std::vector<Change> changes = kStops;
  changes.push_back(Change{"AllThatComesAlong", all.c_str()});
  return changes;
}

std::vector<Change> each() {
  std::vector<Change> changes = kComesAlong;
  changes.insert(changes.end(), kStops.begin(), kStops.end());
  return changes;
}

std::string name_of(const ::testing::TestParamInfo<Change>& change) {
  return change.param.name;
}

INSTANTIATE_TEST_SUITE_P(
    Each, WhileCopiedTest,
    ::testing::ValuesIn(all_that_comes_along_and_each_that_stops()), name_of);
INSTANTIATE_TEST_SUITE_P(Each, ReadyTest, ::testing::ValuesIn(each()), name_of);

}  // namespace
}  // namespace pgrecast::test
