// Every refusal, with the real program: its words, its remedy, code 3, all
// reasons at once, and each of them in the manual (docs/reference/plan.md).

#include "support/eventually.h"
#include "support/pooler.h"
#include "support/process.h"
#include "support/program.h"
#include "support/test_database.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace pgrecast::test {
namespace {

constexpr int kRefused = 3;

std::string one_line(const std::string& text) {
  std::string line;
  bool blank = false;
  for (const char c : text) {
    if (c == ' ' || c == '\n') {
      blank = true;
      continue;
    }
    if (blank && !line.empty()) line += ' ';
    blank = false;
    line += c;
  }
  return line;
}

void expect_in_manual(const std::string& words) {
  static const std::string manual = one_line(read_file(
      std::string(PGRECAST_TEST_SOURCE_DIR) + "/docs/reference/plan.md"));
  EXPECT_NE(manual.find(words), std::string::npos)
      << "docs/reference/plan.md does not list: " << words;
}

struct Answer {
  int code = 0;
  std::string text;  // in one line
};

Answer command(const char* name, const std::string& dsn, const std::string& sql,
               const std::vector<std::string>& options) {
  std::string file = "/tmp/pgrecast_plan_XXXXXX";
  close(mkstemp(file.data()));
  std::ofstream(file) << sql;
  std::vector<std::string> arguments{name, "--dsn",  dsn,
                                     file, "--name", "planned"};
  arguments.insert(arguments.end(), options.begin(), options.end());
  Program program(arguments);
  const int code = program.wait();
  unlink(file.c_str());
  return {.code = code, .text = one_line(program.output())};
}

Answer plan(const std::string& dsn, const std::string& sql,
            const std::vector<std::string>& options = {}) {
  return command("plan", dsn, sql, options);
}

// `remedy`: how the one begins that stands behind the words.
void expect_refusal(const Answer& answer, const std::string& words,
                    const std::string& remedy = "") {
  EXPECT_EQ(answer.code, kRefused) << answer.text;
  const std::size_t said = answer.text.find(words);
  ASSERT_NE(said, std::string::npos) << words << "\nis not said in\n"
                                     << answer.text;
  constexpr std::string_view kRemedy = "remedy: ";
  const std::size_t at = answer.text.find(kRemedy, said);
  ASSERT_NE(at, std::string::npos) << answer.text;
  EXPECT_EQ(answer.text.substr(at + kRemedy.size(), remedy.size()), remedy);
  expect_in_manual(words);
}

struct Case {
  const char* name;
  const char* setup;   // as the ordinary role
  const char* script;  // refused
  const char* words;
  const char* remedy;
  const char* as_superuser = "";
};

constexpr const char* kAdd = "ALTER TABLE t ADD COLUMN w integer";
constexpr const char* kText = "ALTER TABLE t ALTER v TYPE text";
constexpr const char* kNumbers = "CREATE TABLE t (id int PRIMARY KEY, v int)";
constexpr const char* kTable = "CREATE TABLE t (id int PRIMARY KEY, v text)";

// One for each reason that a table, a role or a script may give.
const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {"NoTable", "", kAdd, "there is no table t",
       "correct the name, or qualify it with its schema"},
      {"NoKey", "CREATE TABLE t (id int)", kAdd,
       "has no usable key: it has no primary key",
       "add a primary key, or set REPLICA IDENTITY to a unique index"},
      {"DeferrableKey", "CREATE TABLE t (id int PRIMARY KEY DEFERRABLE)", kAdd,
       "but it is deferrable",
       "add a primary key, or set REPLICA IDENTITY to a unique index"},
      {"NullableKey",
       "CREATE TABLE t (id int UNIQUE); ALTER TABLE t REPLICA IDENTITY FULL",
       kAdd, "but its columns may be NULL",
       "add a primary key, or set REPLICA IDENTITY to a unique index"},
      {"IdentityNothing",
       "CREATE TABLE t (id int PRIMARY KEY); ALTER TABLE t REPLICA IDENTITY "
       "NOTHING",
       kAdd, "its replica identity is NOTHING",
       "ALTER TABLE .. REPLICA IDENTITY DEFAULT, with a primary key"},
      {"KeyOfAnExpression",
       "CREATE TABLE t (id int NOT NULL); CREATE UNIQUE INDEX i ON t ((id + "
       "1)); ALTER TABLE t REPLICA IDENTITY FULL",
       kAdd, "has expressions",
       "add a primary key, or set REPLICA IDENTITY to a unique index"},
      {"PartialKey",
       "CREATE TABLE t (id int NOT NULL); CREATE UNIQUE INDEX i ON t (id) "
       "WHERE id > 0; ALTER TABLE t REPLICA IDENTITY FULL",
       kAdd, "it is partial",
       "add a primary key, or set REPLICA IDENTITY to a unique index"},
      {"MoneyKey", "CREATE TABLE t (id money PRIMARY KEY)", kAdd,
       "whose text depends on settings and names",
       "add a primary key, or set REPLICA IDENTITY to a unique index"},
      {"KeyOfATwiceHiddenRegclass",
       "CREATE DOMAIN d AS regclass; CREATE TYPE c AS (n int, names d[]); "
       "CREATE TABLE t (id c PRIMARY KEY)",
       kAdd, "whose text depends on settings and names",
       "add a primary key, or set REPLICA IDENTITY to a unique index"},
      {"KeyIndexOfAnotherCollation",
       "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', "
       "deterministic = false); CREATE TABLE t (id text COLLATE ci NOT NULL); "
       "CREATE UNIQUE INDEX i ON t (id COLLATE \"C\"); ALTER TABLE t REPLICA "
       "IDENTITY USING INDEX i",
       kAdd, "has another collation than its column",
       "add a primary key, or set REPLICA IDENTITY to a unique index"},
      {"Unlogged", "CREATE UNLOGGED TABLE t (id int PRIMARY KEY)", kAdd,
       "is unlogged: its changes are not in the WAL",
       "ALTER TABLE .. SET LOGGED first, or use ALTER TABLE by itself"},
      {"Foreign", "", kAdd, "is a foreign table",
       "name the ordinary table that holds the rows",
       "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; "
       "CREATE FOREIGN TABLE t (id int) SERVER s"},
      {"System", "", "ALTER TABLE pg_catalog.pg_class ADD COLUMN w integer",
       "is a table of the system", "leave it to the server"},
      {"View", "CREATE VIEW t AS SELECT 1 AS id", kAdd, "is a view",
       "name the ordinary table that holds the rows"},
      {"MaterializedView", "CREATE MATERIALIZED VIEW t AS SELECT 1 AS id", kAdd,
       "is a materialized view", "name the ordinary table that holds the rows"},
      {"Sequence", "CREATE SEQUENCE t", kAdd, "is a sequence",
       "name the ordinary table that holds the rows"},
      {"Index", "CREATE TABLE o (id int); CREATE INDEX t ON o (id)", kAdd,
       "is an index", "name the ordinary table that holds the rows"},
      {"CompositeType", "CREATE TYPE t AS (id int)", kAdd,
       "is a composite type", "name the ordinary table that holds the rows"},
      {"NotTheOwner", kTable, kAdd, "which you are no member of",
       "run as postgres, or GRANT it to your role",
       "ALTER TABLE t OWNER TO postgres"},
      {"NoSchemaRight",
       "CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY)",
       "ALTER TABLE s.t ADD COLUMN w integer",
       "the role may not create tables in schema",
       "GRANT CREATE ON SCHEMA .. TO the role",
       "ALTER SCHEMA s OWNER TO postgres; GRANT USAGE ON SCHEMA s TO PUBLIC"},
      {"NoUseOfTheSchema", "", "ALTER TABLE s.t ADD COLUMN w integer",
       "the role may not use schema s", "GRANT USAGE ON SCHEMA .. TO the role",
       "CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY)"},
      {"NoDatabaseRight", kTable, kAdd,
       "the role may not create schemas in this database",
       "GRANT CREATE ON DATABASE .. TO the role",
       "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO postgres', "
       "current_database()); END $$"},
      {"NoMonitor", kTable, kAdd, "the role may not see what other sessions do",
       "GRANT pg_monitor (or pg_read_all_stats) TO the role",
       "DO $$ DECLARE r text; BEGIN SELECT datdba::regrole INTO r FROM "
       "pg_database WHERE datname = current_database(); EXECUTE format('REVOKE "
       "pg_monitor FROM %s', r); END $$"},
      {"NoReplication", kTable, kAdd, "no replication connection",
       "ALTER ROLE .. REPLICATION (or the managed service's own grant), and a "
       "line for the database in pg_hba.conf; raise max_wal_senders if none is "
       "free",
       "DO $$ DECLARE r text; BEGIN SELECT datdba::regrole INTO r FROM "
       "pg_database WHERE datname = current_database(); EXECUTE format('ALTER "
       "ROLE %s NOREPLICATION', r); END $$"},
      {"PublicationOfAllTables", kTable, kAdd, "is FOR ALL TABLES",
       "publish the tables by name instead while the migration runs",
       "CREATE PUBLICATION everything FOR ALL TABLES"},
      {"PublicationOfTheSchema", kTable, kAdd,
       "publishes schema public as a whole",
       "publish the tables by name instead while the migration runs",
       "CREATE PUBLICATION schema_wide FOR TABLES IN SCHEMA public"},
      {"OtherMigration", kTable, kAdd, "of another migration",
       "finish or abort that migration first (pgrecast list)",
       "CREATE PUBLICATION pgrecast_other FOR TABLE t"},
      {"ViewOfAnotherOwner", kTable, kAdd,
       "must be re-created with the new table, and belongs to",
       "run as a member of postgres", "CREATE VIEW theirs AS SELECT v FROM t"},
      {"ViewOfAnotherOwnerThatIsMadeAnew", kNumbers, kText,
       "must be created anew with the new table, and belongs to",
       "run as a member of postgres",
       "CREATE VIEW ours AS SELECT v FROM t; CREATE VIEW theirs AS SELECT v "
       "FROM ours; DO $$ BEGIN EXECUTE format('ALTER VIEW ours OWNER TO %s', "
       "(SELECT relowner::regrole FROM pg_class WHERE oid = 't'::regclass)); "
       "END $$"},
      {"ReferencingTableOfAnotherOwner", kTable, kAdd,
       "must be re-created with the new table, and belongs to",
       "run as a member of postgres", "CREATE TABLE o (x int REFERENCES t)"},
      {"FunctionOfAnotherOwner", kTable, kAdd,
       "must be replaced with the new table, for which the rights do not "
       "suffice",
       "run as a member of postgres, with CREATE on the function's schema",
       "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT "
       "count(*) FROM t; END"},
      {"TriggersCondition",
       "CREATE TABLE t (id int PRIMARY KEY, v int); CREATE FUNCTION f() "
       "RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE "
       "TRIGGER tr AFTER UPDATE ON t FOR EACH ROW WHEN (NEW.v > 5) EXECUTE "
       "FUNCTION f()",
       kText, "does not work with the new shape",
       "drop it, and create it again after the migration"},
      {"Rule",
       "CREATE TABLE t (id int PRIMARY KEY, v int); CREATE RULE r AS ON DELETE "
       "TO t WHERE OLD.v > 5 DO INSTEAD NOTHING",
       kText, "does not work with the new shape",
       "drop it, and create it again after the migration"},
      {"RuleElsewhere",
       "CREATE TABLE t (id int PRIMARY KEY, v int); CREATE TABLE o (x int); "
       "CREATE RULE r AS ON INSERT TO o DO ALSO UPDATE t SET id = 0 WHERE v > "
       "NEW.x",
       kText, "does not work with the new shape",
       "drop it, and create it again after the migration"},
      {"PolicysCondition",
       "CREATE TABLE t (id int PRIMARY KEY, v int); CREATE POLICY p ON t USING "
       "(v > 5)",
       kText, "does not work with the new shape",
       "drop it, and create it again after the migration"},
      {"AtomicFunction",
       "CREATE TABLE t (id int PRIMARY KEY, v int); CREATE FUNCTION f() "
       "RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT sum(v) FROM t; END",
       kText, "does not work with the new shape",
       "drop it, and create it again after the migration"},
      {"AtomicFunctionsResult",
       "CREATE TABLE t (id int PRIMARY KEY, v int); CREATE FUNCTION f() "
       "RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT max(v) FROM t; END",
       kText, "does not work with the new shape",
       "drop it, and create it again after the migration"},
      {"Statistics",
       "CREATE TABLE t (id int PRIMARY KEY, v int); CREATE STATISTICS st ON "
       "id, v FROM t",
       "ALTER TABLE t ALTER v TYPE json USING to_json(v)",
       "does not work with the new shape",
       "drop it, and create it again after the migration"},
      {"RowFilter",
       "CREATE TABLE t (id int PRIMARY KEY, v int); CREATE PUBLICATION p FOR "
       "TABLE t WHERE (v > 5) WITH (publish = 'insert')",
       kText, "does not work with the new shape",
       "drop it, and create it again after the migration"},
      {"ViewsDefault",
       "CREATE TABLE t (id int PRIMARY KEY, v int); CREATE VIEW w AS SELECT v "
       "FROM t; ALTER VIEW w ALTER v SET DEFAULT 9",
       "ALTER TABLE t ALTER v TYPE date USING '2020-01-01'::date + v",
       "does not work with the new shape",
       "drop it, and create it again after the migration"},
      {"ViewsTriggerWithoutRights", kNumbers,
       "ALTER TABLE t ALTER v TYPE bigint",
       "must be made again, for which rights are missing",
       "grant them to the role, or drop it, and create it again after the "
       "migration",
       "CREATE VIEW w AS SELECT v FROM t; CREATE FUNCTION f() RETURNS trigger "
       "LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER tr INSTEAD "
       "OF INSERT ON w FOR EACH ROW EXECUTE FUNCTION f(); REVOKE EXECUTE ON "
       "FUNCTION f FROM PUBLIC; DO $$ BEGIN EXECUTE format('ALTER VIEW w OWNER "
       "TO %s', (SELECT relowner::regrole FROM pg_class WHERE oid = "
       "'t'::regclass)); END $$"},
      {"TriggersFunctionWithoutRights", kTable, kAdd,
       "must be made again, for which rights are missing",
       "grant them to the role, or drop it, and create it again after the "
       "migration",
       "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN "
       "NEW; END'; CREATE TRIGGER tr AFTER UPDATE ON t EXECUTE FUNCTION f(); "
       "REVOKE EXECUTE ON FUNCTION f FROM PUBLIC"},
      {"LeakproofFunction", kTable, kAdd,
       "must be made again, for which rights are missing",
       "grant them to the role, or drop it, and create it again after the "
       "migration",
       "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql LEAKPROOF BEGIN ATOMIC "
       "SELECT count(*) FROM t; END; DO $$ BEGIN EXECUTE format('ALTER "
       "FUNCTION f OWNER TO %s', (SELECT relowner::regrole FROM pg_class WHERE "
       "oid = 't'::regclass)); END $$"},
      {"ForcedRowSecurity",
       "CREATE TABLE t (id int PRIMARY KEY); ALTER TABLE t ENABLE ROW LEVEL "
       "SECURITY, FORCE ROW LEVEL SECURITY",
       kAdd, "hide rows from the role itself (FORCE ROW LEVEL SECURITY)",
       "ALTER ROLE .. BYPASSRLS for the role that migrates"},
      {"GrantPassedOn", kTable, kAdd, "as whom the role may not act",
       "run as a member of pg_signal_backend",
       "GRANT SELECT ON t TO pg_signal_backend WITH GRANT OPTION; GRANT USAGE "
       "ON SCHEMA public TO pg_signal_backend; SET ROLE pg_signal_backend; "
       "GRANT SELECT ON t TO pg_monitor"},
      {"KeyDropped", kTable, "ALTER TABLE t DROP COLUMN id",
       "belongs to the key, which must stay",
       "leave the key's columns as they are, or widen them only (for instance "
       "integer to bigint)"},
      {"KeyComputed", kTable, "UPDATE t SET id = id + 1",
       "belongs to the key, and cannot be computed",
       "leave the key's columns as they are, or widen them only (for instance "
       "integer to bigint)"},
      {"KeysBecomeOne", kTable,
       "ALTER TABLE t ALTER COLUMN id TYPE bigint USING id / 2",
       "two keys could become one by this expression",
       "leave the key's columns as they are, or widen them only (for instance "
       "integer to bigint)"},
      {"KeyNarrowed", kTable, "ALTER TABLE t ALTER COLUMN id TYPE smallint",
       "is not known to keep keys apart and in order",
       "leave the key's columns as they are, or widen them only (for instance "
       "integer to bigint)"},
      {"RowType",
       "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (kept t)", kAdd,
       "and would stay with the old table",
       "drop it, or let it use a type of its own (CREATE TYPE)"},
      {"ViewOnAChangedColumn",
       "CREATE TABLE t (id int PRIMARY KEY, v int); CREATE VIEW w AS SELECT v "
       "FROM t",
       "ALTER TABLE t DROP COLUMN v CASCADE",
       "which the new table does not have",
       "drop it, and create it again after the migration"},
      {"NotImmutable", kTable, "UPDATE t SET v = random()::text",
       "is volatile: it may give another value each time it is evaluated",
       "make it the DEFAULT of a column that ADD COLUMN adds, which gives each "
       "row a value of its own; or set it by hand after the migration"},
      {"ServerRefuses", kTable, "ALTER TABLE t ALTER COLUMN v TYPE nonsense",
       "the server refuses this on an empty copy of the table",
       "correct the statement"},
      {"IndexOfAnother",
       "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE o (x int); "
       "CREATE INDEX oi ON o (x)",
       "ALTER TABLE t ADD COLUMN w integer; DROP INDEX oi",
       "is no index of a table that this script changes",
       "drop it outside of the migration"},
      {"GrantBeforeTheShape", kTable,
       "GRANT SELECT ON t TO PUBLIC; CREATE TABLE t (id int PRIMARY KEY, v "
       "text)",
       "what is granted here is gone with the CREATE TABLE behind it",
       "put it behind CREATE TABLE"},
      {"StatisticsBeforeTheShape", kTable,
       "CREATE STATISTICS st ON id, v FROM t; CREATE TABLE t (id int PRIMARY "
       "KEY, v text)",
       "the statistics that the script has made are gone with the old shape",
       "put CREATE STATISTICS behind CREATE TABLE"},
      {"StatisticsElsewhere",
       "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE SCHEMA s",
       "CREATE STATISTICS s.st ON id, v FROM t",
       "the statistics would be in schema",
       "write \"public\".\"st\", and move them after"},
      {"TableMadeTwice", kTable,
       "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE t (id int "
       "PRIMARY KEY, v text)",
       "the script makes table t twice", "leave one of the two out"},
      {"IdentityThatIsBorrowed",
       "CREATE TABLE t (id int PRIMARY KEY, v int GENERATED ALWAYS AS "
       "IDENTITY)",
       "ALTER TABLE t ADD COLUMN w bigint DEFAULT nextval('t_v_seq')",
       "which stays with the old table", "leave the identity to its column"},
      {"TypedTable",
       "CREATE TYPE c AS (id int, v text); CREATE TABLE t OF c (PRIMARY KEY "
       "(id))",
       "UPDATE t SET v = 'x'", "is a typed table of", "ALTER TABLE .. NOT OF"},
      {"Inheritance",
       "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u () INHERITS (t)",
       kAdd, "this changes the tables that inherit from",
       "leave to them what they inherit"},
      {"PublicationOfAnotherOwner", kTable, kAdd,
       "must be altered and belongs to", "run as a member of that role",
       "CREATE PUBLICATION theirs FOR TABLE t"},
      {"DisabledForeignKey",
       "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (x int REFERENCES "
       "t)",
       kAdd, "is not enforced, as its triggers are disabled",
       "ALTER TABLE .. ENABLE TRIGGER ALL",
       "ALTER TABLE u DISABLE TRIGGER ALL"},
      {"NoRightOnTheReferenced",
       "CREATE TABLE u (id int PRIMARY KEY); CREATE TABLE t (id int PRIMARY "
       "KEY, x int REFERENCES u)",
       kAdd, "must be re-created, for which the rights on",
       "grant REFERENCES and UPDATE", "ALTER TABLE u OWNER TO postgres"},
      {"MemberOfAnExtension", kTable, kAdd, "is a member of extension",
       "remove that beforehand, and restore it afterwards",
       "ALTER EXTENSION plpgsql ADD TABLE t"},
      {"SequenceOfADroppedColumn",
       "CREATE TABLE t (id int PRIMARY KEY, s serial); CREATE TABLE u (n int "
       "DEFAULT nextval('t_s_seq'))",
       "ALTER TABLE t DROP COLUMN s CASCADE",
       "the new table does not have that column",
       "release the sequence with ALTER SEQUENCE .. OWNED BY NONE"},
      {"StateOfOthers", kTable, kAdd,
       "the state in schema pgrecast cannot be read",
       "run as the role that began the other",
       "CREATE SCHEMA pgrecast; CREATE TABLE pgrecast.format (version int)"},
      {"SchemaOfAnotherPurpose", kTable, kAdd,
       "there is a schema pgrecast already, which is none of ours",
       "ALTER SCHEMA pgrecast RENAME TO", "CREATE SCHEMA pgrecast"},
  };
  return all;
}

class PlanRefuses : public TestDatabase,
                    public ::testing::WithParamInterface<Case> {
 protected:
  // Of a run that was refused.
  void expect_nothing_left(const std::string& state_dir) {
    EXPECT_EQ(superuser_session().query_value(
                  "SELECT (SELECT count(*) FROM pg_replication_slots WHERE "
                  "database = current_database()) || ' ' || (SELECT count(*) "
                  "FROM pg_namespace WHERE nspname LIKE 'pgrecast\\_%') || ' ' "
                  "|| (SELECT count(*) FROM pg_publication WHERE pubname = "
                  "'pgrecast_planned')"),
              "0 0 0");
    EXPECT_FALSE(std::filesystem::exists(state_dir));
  }
};

TEST_P(PlanRefuses, WithReasonAndRemedy) {
  Session(dsn()).exec(GetParam().setup);
  if (*GetParam().as_superuser != '\0') {
    superuser_session().exec(GetParam().as_superuser);
  }

  expect_refusal(plan(dsn(), GetParam().script), GetParam().words,
                 GetParam().remedy);

  const std::string state_dir = cluster().folder() + "/state_of_refused";
  expect_refusal(
      command("run", dsn(), GetParam().script,
              {"--yes", "--progress", "none", "--state-dir", state_dir}),
      GetParam().words, GetParam().remedy);
  expect_nothing_left(state_dir);
}

INSTANTIATE_TEST_SUITE_P(Each, PlanRefuses, ::testing::ValuesIn(cases()),
                         [](const auto& one) {
                           return std::string(one.param.name);
                         });

class PlanCommand : public TestDatabase {};

// No other session sees it; its name is that of a schema of another one's.
TEST_F(PlanCommand, RefusesTheTemporaryTableOfAnotherSession) {
  Session holder = session();
  holder.exec("CREATE TEMPORARY TABLE t (id int PRIMARY KEY)");
  const std::string schema = holder.query_value(
      "SELECT relnamespace::regnamespace FROM pg_class WHERE oid = "
      "'t'::regclass");

  expect_refusal(plan(database().superuser_dsn(),
                      fmt::format("ALTER TABLE {}.t ADD COLUMN w int", schema)),
                 "is temporary: its changes are not in the WAL",
                 "use ALTER TABLE by itself");
}

// A policy that hides rows says so, and nothing that only follows from it.
TEST_F(PlanCommand, SaysNothingThatFollowsFromHiddenRows) {
  session().exec(
      "CREATE TABLE t (id int PRIMARY KEY, v text); ALTER TABLE t ENABLE ROW "
      "LEVEL SECURITY, FORCE ROW LEVEL SECURITY");

  const Answer answer = plan(dsn(), kAdd);

  expect_refusal(answer, "hide rows from the role itself");
  EXPECT_EQ(answer.text.find("remedy: "), answer.text.rfind("remedy: "))
      << answer.text;
}

// Not even its size could be read before that lock is gone.
TEST_F(PlanCommand, NamesWhoHasLockedTheTable) {
  session().exec(kTable);
  Session holder = session();
  holder.exec("BEGIN; LOCK TABLE t");

  const Answer answer =
      plan(dsn(), std::string(kAdd) + "; DELETE FROM t WHERE id = 1");

  expect_refusal(answer, "has been locked for seconds by",
                 "try again when that lock is gone");
  EXPECT_NE(answer.text.find(fmt::format("by pid {} (", holder.backend_pid())),
            std::string::npos)
      << answer.text;
}

// Script, table, role and folder: no second run to learn of the next reason.
TEST_F(PlanCommand, SaysAllReasonsAtOnce) {
  session().exec(
      "CREATE TABLE t (id int PRIMARY KEY, v text);"
      "CREATE TABLE archive (kept t)");
  superuser_session().exec(
      fmt::format("ALTER ROLE \"{}\" NOREPLICATION", database().role()));

  const Answer answer =
      plan(dsn(), "ALTER TABLE t ALTER COLUMN id TYPE smallint",
           {"--state-dir", "/dev/null/state"});

  expect_refusal(answer, "no replication connection");
  expect_refusal(answer, "the state cannot be written into");
  expect_refusal(answer, "and would stay with the old table");
  expect_refusal(answer, "is not known to keep keys apart and in order");
  EXPECT_NE(answer.text.find("! max_slot_wal_keep_size is unlimited"),
            std::string::npos)
      << answer.text;
}

// A statement that is not taken is no reason to keep the others back.
TEST_F(PlanCommand, SaysWhatTheServerLacksBesideTheScriptsErrors) {
  superuser_session().exec(fmt::format(
      "ALTER ROLE \"{0}\" NOREPLICATION; REVOKE pg_monitor FROM \"{0}\"",
      database().role()));
  session().exec("CREATE TABLE u (id int)");

  const Answer answer = plan(dsn(),
                             "UPDATE t SET v = (SELECT 1);\nDELETE FROM t;\n"
                             "ALTER TABLE u ADD COLUMN w integer;\n");

  expect_refusal(answer, "has no usable key: it has no primary key");
  // It may be what a statement that is not taken makes.
  EXPECT_EQ(answer.text.find("there is no table"), std::string::npos)
      << answer.text;
  EXPECT_NE(answer.text.find("! max_slot_wal_keep_size is unlimited"),
            std::string::npos)
      << answer.text;
  expect_refusal(answer, "sub-select reads other tables");
  EXPECT_NE(answer.text.find(":2:"), std::string::npos) << answer.text;
  expect_refusal(answer, "no replication connection");
  expect_refusal(answer, "the role may not see what other sessions do");
}

// It tries what hangs off the tables, on tables of its own: whoever writes to
// the live ones, and to those whose rules mention them, stands in nobody's way.
// Two tables of one name, as their definitions could mean the wrong one.
TEST_F(PlanCommand, LocksNoLiveTableToTryWhatHangsOffIt) {
  const char* const tables = R"sql(
CREATE SCHEMA IF NOT EXISTS {0};
CREATE TABLE {0}.t (id int PRIMARY KEY, v int);
CREATE TABLE {0}.o (x int);
CREATE FUNCTION {0}.f() RETURNS trigger LANGUAGE plpgsql
  AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER tr AFTER UPDATE ON {0}.t FOR EACH ROW WHEN (NEW.v > 5)
  EXECUTE FUNCTION {0}.f();
CREATE RULE own AS ON DELETE TO {0}.t DO ALSO INSERT INTO {0}.o VALUES (OLD.v);
CREATE RULE elsewhere AS ON INSERT TO {0}.o DO ALSO
  UPDATE {0}.t SET v = 1 WHERE id = NEW.x;
CREATE VIEW {0}.vw AS SELECT v FROM {0}.t;
CREATE RULE of_view AS ON DELETE TO {0}.vw DO INSTEAD
  DELETE FROM {0}.t WHERE v = OLD.v;
CREATE STATISTICS {0}.st ON id, v FROM {0}.t;
CREATE FUNCTION {0}.total() RETURNS bigint LANGUAGE sql
  BEGIN ATOMIC SELECT sum(v) FROM {0}.t; END;
CREATE PUBLICATION pub_{0} FOR TABLE {0}.t WHERE (id > 5))sql";
  Session owner = session();
  for (const char* schema : {"public", "b"}) {
    owner.exec(fmt::format(fmt::runtime(tables), schema));
  }
  const std::string state =
      "SELECT string_agg(xmin::text, ' ' ORDER BY oid) FROM (SELECT xmin, oid "
      "FROM pg_trigger UNION ALL SELECT xmin, oid FROM pg_rewrite UNION ALL "
      "SELECT xmin, oid FROM pg_proc UNION ALL SELECT xmin, oid FROM pg_class "
      "WHERE relnamespace <> 'pg_toast'::regnamespace UNION ALL SELECT xmin, "
      "oid FROM pg_publication) AS rows";
  const std::string before = owner.query_value(state);
  Session writer = session();
  writer.exec(
      "BEGIN; INSERT INTO public.t VALUES (1, 1); INSERT INTO b.t VALUES (1, "
      "1); DELETE FROM public.t; INSERT INTO b.o VALUES (1)");

  const Answer answer = plan(dsn(),
                             "ALTER TABLE public.t ALTER v TYPE bigint;"
                             "ALTER TABLE b.t ALTER v TYPE bigint");

  EXPECT_EQ(answer.code, 0) << answer.text;
  writer.exec("COMMIT");
  EXPECT_EQ(owner.query_value(state), before);
}

// It was a line of the log, which no program reads.
TEST_F(PlanCommand, WarnsOfEventTriggersThatFireOnOurStatements) {
  session().exec(kTable);
  Session superuser = superuser_session();
  superuser.exec(
      "CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS "
      "'BEGIN END';"
      "CREATE EVENT TRIGGER on_types ON ddl_command_end WHEN TAG IN ('CREATE "
      "TYPE', 'DROP EXTENSION', 'ALTER FOREIGN TABLE') EXECUTE FUNCTION "
      "watch();"
      "CREATE EVENT TRIGGER is_off ON ddl_command_end EXECUTE FUNCTION "
      "watch(); ALTER EVENT TRIGGER is_off DISABLE");
  const Answer silent = plan(dsn(), kAdd, {"--json"});
  EXPECT_EQ(silent.code, 0) << silent.text;
  EXPECT_EQ(silent.text.find("event trigger"), std::string::npos)
      << silent.text;
  superuser.exec(
      "CREATE EVENT TRIGGER watches ON ddl_command_start EXECUTE FUNCTION "
      "watch();"
      "CREATE EVENT TRIGGER on_tables ON sql_drop WHEN TAG IN ('CREATE TYPE', "
      "'DROP TABLE') EXECUTE FUNCTION watch()");

  const Answer answer = plan(dsn(), kAdd, {"--json"});

  EXPECT_EQ(answer.code, 0) << answer.text;
  EXPECT_NE(answer.text.find(
                "event triggers fire on our statements, those under the "
                "exchange's lock among them, and one that fails stops the "
                "migration: on_tables (sql_drop), watches (ddl_command_start)"),
            std::string::npos)
      << answer.text;
}

// No catalog tells whether one of them holds the table's OID.
TEST_F(PlanCommand, WarnsOfColumnsThatMayHoldTheTablesOid) {
  session().exec(kTable);
  EXPECT_EQ(plan(dsn(), kAdd).text.find("has another OID"), std::string::npos);
  session().exec(R"sql(
CREATE SCHEMA "Jobs";
CREATE DOMAIN target AS regclass;
CREATE TYPE step AS (name text, of target);
CREATE TABLE "Jobs".queue (id oid, plain regclass, many regclass[], type regtype,
  target target, targets target[], step step, gone regclass, role regrole)
  PARTITION BY LIST (id);
CREATE TABLE "Jobs".queue_rest PARTITION OF "Jobs".queue DEFAULT;
ALTER TABLE "Jobs".queue DROP COLUMN gone;
CREATE VIEW looks AS TABLE "Jobs".queue)sql");

  const Answer answer = plan(dsn(), kAdd, {"--json"});

  EXPECT_EQ(answer.code, 0) << answer.text;
  EXPECT_NE(
      answer.text.find(
          "the new table has another OID: what holds that of public.t in its "
          "rows means the old one from the exchange on, and must be updated by "
          "hand. It may be in: Jobs.queue.many (regclass[]), Jobs.queue.plain "
          "(regclass), Jobs.queue.step (public.step), Jobs.queue.target "
          "(public.target), "
          "Jobs.queue.targets (public.target[]), Jobs.queue.type (regtype)\""),
      std::string::npos)
      << answer.text;
}

TEST_F(PlanCommand, KnowsAMigrationOfThatName) {
  session().exec(kTable);
  const std::string state =
      database().cluster().folder() + "/state_" + database().name();
  Program run({"run", "--dsn", dsn(), "--table", "t", "--alter",
               "ADD COLUMN w integer", "--name", "planned", "--state-dir",
               state, "--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");

  expect_refusal(plan(dsn(), "ALTER TABLE t ADD COLUMN x integer"),
                 "with another script");
  expect_refusal(plan(dsn(), "ALTER TABLE t ADD COLUMN w integer;\n"),
                 "has begun already");

  run.signal(SIGTERM);
  run.wait();
  Program abort({"abort", "--dsn", dsn(), "--state-dir", state, "planned"});
  EXPECT_EQ(abort.wait(), 0) << abort.output();
}

// Of a migration whose record somebody has dropped. Its publication was met
// only when state and shadows were committed (42710, code 1), and the next run
// dropped it unasked; its slot was met after the plan had passed. Here each is
// there without the others at last, so that none hides behind another.
TEST_F(PlanCommand, RefusesWhatAMigrationWithoutARecordHasLeft) {
  session().exec(kTable);
  const std::string state =
      database().cluster().folder() + "/state_" + database().name();
  const std::vector<std::string> options{"--yes", "--progress", "none",
                                         "--state-dir", state};
  Program run({"run", "--dsn", dsn(), "--table", "t", "--alter",
               "ADD COLUMN w integer", "--name", "planned", "--state-dir",
               state, "--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");
  run.signal(SIGTERM);
  run.wait();
  Session superuser = superuser_session();
  ASSERT_TRUE(eventually([&] {
    return superuser.query_value(
               "SELECT count(*) FROM pg_replication_slots WHERE active AND "
               "database = current_database()") == "0";
  }));
  const std::string slot = superuser.query_value(
      "SELECT slot_name FROM pg_replication_slots WHERE database = "
      "current_database()");
  session().exec("DROP SCHEMA pgrecast CASCADE");
  const auto refuses = [](const Answer& answer, const std::string& words,
                          const std::string& name, const std::string& remedy) {
    expect_refusal(answer, words, remedy);
    EXPECT_NE(answer.text.find(words + " " + name), std::string::npos)
        << answer.text;
  };
  const std::string drop_slot =
      fmt::format("SELECT pg_drop_replication_slot('{}')", slot);

  Answer answer = plan(dsn(), kAdd);
  refuses(answer, "there is a replication slot", slot, drop_slot);
  refuses(answer, "there is a publication", "pgrecast_planned already",
          "DROP PUBLICATION \"pgrecast_planned\"");
  refuses(answer, "there is a schema", "pgrecast_planned already",
          "look what it holds, then DROP SCHEMA \"pgrecast_planned\" CASCADE");

  session().exec(
      "DROP SCHEMA pgrecast_planned CASCADE; DROP SCHEMA "
      "pgrecast_planned_retired CASCADE");
  session().exec("DROP PUBLICATION pgrecast_planned");
  refuses(plan(dsn(), kAdd), "there is a replication slot", slot, drop_slot);
  refuses(command("run", dsn(), kAdd, options), "there is a replication slot",
          slot, drop_slot);
  superuser.exec(drop_slot);
  EXPECT_EQ(plan(dsn(), kAdd).code, 0);

  session().exec("CREATE PUBLICATION pgrecast_planned FOR TABLE t");
  for (const bool again : {false, true}) {
    refuses(command("run", dsn(), kAdd, options), "there is a publication",
            "pgrecast_planned already",
            "DROP PUBLICATION \"pgrecast_planned\"");
    EXPECT_EQ(superuser.query_value(
                  "SELECT (SELECT count(*) FROM pg_publication) || ' ' ||"
                  " (SELECT count(*) FROM pg_namespace WHERE nspname ~ "
                  "'^pgrecast')"),
              "1 0")
        << again;
  }
}

// One that was reaped, or gave up its slot, publishes nothing any more, and is
// resumed by --repair all the same. Only its publication was looked for.
TEST_F(PlanCommand, RefusesATableThatAReapedMigrationHas) {
  session().exec(kTable);
  const std::string state =
      database().cluster().folder() + "/state_" + database().name();
  Program run({"run", "--dsn", dsn(), "--table", "t", "--alter",
               "ADD COLUMN w integer", "--name", "other", "--state-dir", state,
               "--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");
  const Answer living = plan(dsn(), kAdd);
  expect_refusal(living, "another migration");
  // Once, and not by its publication too.
  EXPECT_EQ(living.text.find("remedy: "), living.text.rfind("remedy: "))
      << living.text;
  run.signal(SIGTERM);
  run.wait();
  ASSERT_TRUE(eventually([&] {
    Program reap({"reap", "--dsn", dsn(), "--max-retained", "0"});
    return reap.wait() == 0 &&
           reap.output().find("dropped the slot of other") != std::string::npos;
  }));

  const Answer answer = plan(dsn(), kAdd);

  expect_refusal(answer, "another migration",
                 "let the `pgrecast run` of that one end, or undo it: "
                 "`pgrecast abort other`");
  EXPECT_NE(answer.text.find(
                "another migration, other, is at public.t already (phase "
                "ready)"),
            std::string::npos)
      << answer.text;
  Program abort({"abort", "--dsn", dsn(), "--state-dir", state, "other"});
  EXPECT_EQ(abort.wait(), 0) << abort.output();
  EXPECT_EQ(plan(dsn(), kAdd).code, 0);
}

// Both plans pass, as neither sees what the other has not committed. The second
// waits for the lock under which the first is recorded, and the test for that:
// it cannot pass because one of the two is late.
TEST_F(PlanCommand, OfTwoRunsOfATableThatBeginTogetherOneIsRefused) {
  session().exec(kTable);
  const std::string state =
      database().cluster().folder() + "/state_" + database().name();
  const auto run = [&](const char* name, const Program::Texts& environment) {
    return Program({"run", "--dsn", dsn(), "--table", "t", "--alter",
                    "ADD COLUMN w integer", "--name", name, "--state-dir",
                    state, "--cutover", "manual"},
                   environment);
  };
  Program first = run("first", {"PGRECAST_FREEZE_AT=prepare:recorded"});
  first.wait_until_frozen();
  Program second = run("second", {});
  Session superuser = superuser_session();
  ASSERT_TRUE(eventually([&] {
    return superuser.query_value(
               "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND "
               "NOT granted AND database = (SELECT oid FROM pg_database WHERE "
               "datname = current_database())") == "1";
  })) << second.output();

  first.signal(SIGCONT);
  ASSERT_EQ(second.wait(), kRefused) << second.output();

  EXPECT_NE(one_line(second.output())
                .find("another migration, first, is at public.t already"),
            std::string::npos)
      << second.output();
  first.wait_for_output("phase changed.*phase=ready");
  EXPECT_EQ(superuser.query_value(
                "SELECT string_agg(name, ' ') FROM pgrecast.migrations"),
            "first");
  EXPECT_EQ(superuser.query_value("SELECT count(*) FROM pg_namespace WHERE "
                                  "nspname LIKE 'pgrecast%second%'"),
            "0");
  Program abort({"abort", "--dsn", dsn(), "--state-dir", state, "first"});
  EXPECT_EQ(abort.wait(), 0) << abort.output();
}

// And before it sets anything, which would stay in a session that the pooler
// lends to the application next.
TEST_F(PlanCommand, RefusesAPoolerInTransactionMode) {
  session().exec(kTable);
  superuser_session().exec(fmt::format(
      "ALTER ROLE \"{}\" SET log_statement = 'all'", database().role()));
  const Pooler pooler(cluster().folder() + "/.s.PGSQL.5432");
  const std::string dsn =
      fmt::format("host={} dbname={} user={}", pooler.folder(),
                  database().name(), database().role());

  expect_refusal(plan(dsn, kAdd), "a connection pooler stands between");
  expect_refusal(command("run", dsn, kAdd, {}),
                 "a connection pooler stands between");
  for (const char* name : {"status", "abort", "finish", "cutover"}) {
    Program program({name, "--dsn", dsn, "planned"});
    EXPECT_EQ(program.wait(), kRefused) << name << program.output();
  }

  const std::string log = cluster().log_text();
  EXPECT_NE(log.find("pg_backend_pid()"), std::string::npos);
  EXPECT_EQ(log.find("idle_session_timeout"), std::string::npos);
  EXPECT_EQ(log.find("pg_try_advisory_lock"), std::string::npos);
}

TEST(PlanOnAServer, ThatIsNotSetUpSaysEverythingItLacks) {
  PgCluster bare(PgCluster::Settings{{"wal_level", "replica"},
                                     {"max_wal_senders", "0"},
                                     {"max_replication_slots", "0"},
                                     {"synchronous_standby_names", "*"}});
  Session(bare.dsn())
      .exec(
          "SET synchronous_commit = local; CREATE TABLE t (id int PRIMARY "
          "KEY)");

  const Answer answer = plan(bare.dsn(), kAdd);

  for (const char* words :
       {"wal_level is replica, so changes cannot be decoded",
        "no replication slot is free", "no WAL sender is free",
        "our stream would count as a synchronous standby",
        "no replication connection"}) {
    expect_refusal(answer, words);
  }
}

TEST(PlanOnAServer, ThatIsAStandbyIsRefused) {
  PgCluster cluster;
  Session(cluster.dsn()).exec("CREATE TABLE t (id int PRIMARY KEY)");
  ASSERT_TRUE(cluster.stop());
  const std::string signal = cluster.folder() + "/data/standby.signal";
  std::ofstream(signal).flush();
  give_to_postgres(signal);
  cluster.start();

  expect_refusal(plan(cluster.dsn(), kAdd), "the server is a standby");
}

// A migration that was ready when the server became one, by a failover, say.
TEST(EveryCommand, IsRefusedOnAStandby) {
  PgCluster cluster;
  Session(cluster.dsn()).exec("CREATE TABLE t (id int PRIMARY KEY)");
  const std::string state = cluster.folder() + "/state";
  std::string file = "/tmp/pgrecast_plan_XXXXXX";
  close(mkstemp(file.data()));
  std::ofstream(file) << "ALTER TABLE t ALTER id TYPE bigint";
  const std::vector<std::string> run{
      "run",     "--dsn",       cluster.dsn(), file,        "--name",
      "planned", "--state-dir", state,         "--cutover", "manual"};
  {
    Program ready(run);
    ready.wait_for_output("phase=ready");
    ready.signal(SIGTERM);
    ready.wait();
  }
  ASSERT_TRUE(cluster.stop());
  const std::string signal = cluster.folder() + "/data/standby.signal";
  std::ofstream(signal).flush();
  give_to_postgres(signal);
  cluster.start();

  std::vector<std::vector<std::string>> commands{run};
  for (const char* name : {"status", "cutover", "abort", "finish"}) {
    commands.push_back({name, "--dsn", cluster.dsn(), "planned"});
  }
  commands.push_back({"reap", "--dsn", cluster.dsn()});
  for (const std::vector<std::string>& arguments : commands) {
    Program program(arguments);
    EXPECT_EQ(program.wait(), kRefused) << arguments.front();
    EXPECT_NE(program.output().find("the server is a standby"),
              std::string::npos)
        << arguments.front() << ": " << program.output();
  }

  unlink(file.c_str());
  ASSERT_TRUE(cluster.stop());
  std::filesystem::remove(signal);
  cluster.start();
  Program abort(
      {"abort", "--dsn", cluster.dsn(), "--state-dir", state, "planned"});
  EXPECT_EQ(abort.wait(), 0) << abort.output();
}

}  // namespace
}  // namespace pgrecast::test
