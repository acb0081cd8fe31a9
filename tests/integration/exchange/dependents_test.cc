#include "pgrecast/catalog/dependents.h"

#include "pgrecast/catalog/places.h"

#include "exchange_fixture.h"
#include "support/manual.h"

namespace pgrecast::catalog {
namespace {

using test::Session;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class DependentsTest : public exchange::ExchangeFixture {
 protected:
  void SetUp() override {
    ExchangeFixture::SetUp();
    admin_.exec("CREATE TABLE public.t (id serial PRIMARY KEY, v int, w text)");
  }

  std::vector<Refusal> refusals(const std::string& own_publication = {}) {
    return uncarried_dependents(connection_,
                                read_table(connection_, oid("public", "t")),
                                own_publication);
  }
};

// Everything that the exchange carries, on one table.
TEST_F(DependentsTest, WhatIsCarriedIsNotRefused) {
  make_orders();
  admin_.exec(R"sql(
CREATE TABLE other (id int PRIMARY KEY, n int DEFAULT nextval('t_id_seq'));
ALTER TABLE t ADD self int REFERENCES t, ADD o int REFERENCES other,
  ADD ident int GENERATED ALWAYS AS IDENTITY,
  ADD gen int GENERATED ALWAYS AS (v + 1) STORED,
  ADD big text,
  ADD CONSTRAINT positive CHECK (v > 0) NOT VALID,
  ADD UNIQUE (v) DEFERRABLE, ADD EXCLUDE USING btree (w WITH =);
CREATE TABLE child (t int REFERENCES t);
CREATE INDEX ON t (lower(w)) INCLUDE (v) WHERE v > 0;
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER tr BEFORE UPDATE OF v ON t FOR EACH ROW EXECUTE FUNCTION f();
CREATE CONSTRAINT TRIGGER ct AFTER INSERT ON t DEFERRABLE FOR EACH ROW
  WHEN (NEW.v > 0) EXECUTE FUNCTION f();
CREATE VIEW v1 AS SELECT id, v FROM t GROUP BY id;
CREATE VIEW v2 AS SELECT * FROM v1;
CREATE MATERIALIZED VIEW mv AS SELECT id, v FROM t;
CREATE UNIQUE INDEX mv_id ON mv (id);
CREATE STATISTICS mv_st ON id, v FROM mv;
CREATE RULE r AS ON DELETE TO t DO ALSO NOTIFY gone;
CREATE POLICY p ON t TO pg_monitor USING (v > (SELECT count(*) FROM t));
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE STATISTICS st ON v, w FROM t;
CREATE PUBLICATION pub FOR TABLE t;
GRANT SELECT ON t TO pg_monitor;
GRANT UPDATE (v) ON t TO PUBLIC;
COMMENT ON TABLE t IS 'x';
CREATE FUNCTION by_name() RETURNS bigint LANGUAGE sql
  AS 'SELECT count(*) FROM pg_class WHERE relname = ''t''')sql");

  for (const Refusal& refusal : refusals()) ADD_FAILURE() << refusal.what;
}

struct Uncarried {
  const char* name;
  const char* sql;
  const char* what;
};

class UncarriedTest : public DependentsTest,
                      public ::testing::WithParamInterface<Uncarried> {};

TEST_P(UncarriedTest, IsRefusedByName) {
  constexpr int kHasSchemaPublications = 15;
  if (GetParam().name == std::string("PublicationOfTheSchema") &&
      cluster().version() < kHasSchemaPublications) {
    GTEST_SKIP() << "no such publications before 15";
  }
  ASSERT_THAT(refusals(), IsEmpty());

  superuser_session().exec(GetParam().sql);

  EXPECT_THAT(refusals(),
              Contains(AllOf(Field(&Refusal::what, HasSubstr(GetParam().what)),
                             Field(&Refusal::remedy, ::testing::Ne("")))));
  for (const Refusal& refusal : refusals()) {
    EXPECT_TRUE(test::is_in_manual(refusal.what))
        << "docs/reference/plan.md does not list: " << refusal.what;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, UncarriedTest,
    ::testing::Values(
        Uncarried{"MaterializedViewOfAnotherOwner",
                  "CREATE MATERIALIZED VIEW mv AS SELECT v FROM t",
                  "materialized view public.mv must be re-created with the new "
                  "table, and belongs to postgres"},
        Uncarried{"PublicationForAllTables",
                  "CREATE PUBLICATION everything FOR ALL TABLES",
                  "publication everything is FOR ALL TABLES"},
        Uncarried{"PublicationOfTheSchema",
                  "CREATE PUBLICATION wide FOR TABLES IN SCHEMA public",
                  "publication wide publishes schema public"},
        Uncarried{"PublicationOfAnotherOwner",
                  "CREATE PUBLICATION theirs FOR TABLE t",
                  "publication theirs must be altered and belongs to postgres"},
        Uncarried{"RowTypeAsColumn", "CREATE TABLE user_of (x t)",
                  "column x of table public.user_of depends on type public.t"},
        Uncarried{"RowTypeAsArrayColumn", "CREATE TABLE user_of (x t[])",
                  "column x of table public.user_of depends on type"},
        Uncarried{"RowTypeInADomain", "CREATE DOMAIN d AS t",
                  "type public.d depends on type public.t"},
        Uncarried{"RowTypeInACast", "CREATE CAST (t AS text) WITH INOUT",
                  "cast from public.t to text depends on type public.t"},
        Uncarried{"RowTypeAsArgument",
                  "CREATE FUNCTION takes(t) RETURNS int LANGUAGE sql "
                  "AS 'SELECT 1'",
                  "function public.takes(public.t)"},
        Uncarried{"RowTypeAsResult",
                  "CREATE FUNCTION gives() RETURNS SETOF t LANGUAGE sql "
                  "AS 'SELECT * FROM t'",
                  "function public.gives()"},
        Uncarried{"RowTypeInAView", "CREATE VIEW whole AS SELECT t FROM t",
                  "depends on type public.t"},
        Uncarried{"RowTypeInACompositeType", "CREATE TYPE c AS (x t)",
                  "column x of composite type public.c"},
        Uncarried{"AtomicFunctionOfAnotherOwner",
                  "CREATE FUNCTION atom() RETURNS bigint LANGUAGE sql "
                  "BEGIN ATOMIC SELECT count(*) FROM t; END",
                  "function public.atom() must be replaced with the new table"},
        Uncarried{"PolicyOfAnotherOwnersTable",
                  "CREATE TABLE o (x int); CREATE POLICY elsewhere ON o USING "
                  "(x IN (SELECT v FROM t))",
                  "policy elsewhere on table public.o"},
        Uncarried{"RuleOfAnotherOwnersTable",
                  "CREATE TABLE o (x int); CREATE RULE also AS ON INSERT TO o "
                  "DO ALSO INSERT INTO t (v) VALUES (NEW.x)",
                  "rule also on table public.o"},
        Uncarried{
            "ConstraintTriggerFromIt",
            "CREATE TABLE o (x int); CREATE FUNCTION f() RETURNS trigger "
            "LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE "
            "CONSTRAINT TRIGGER far AFTER INSERT ON o FROM t FOR EACH ROW "
            "EXECUTE FUNCTION f()",
            "trigger far on table public.o"},
        Uncarried{"ForeignKeyOfATableWithAPartitionOfAnotherOwner",
                  "CREATE TABLE po (x int REFERENCES t) PARTITION BY LIST (x); "
                  "CREATE TABLE po1 PARTITION OF po DEFAULT; "
                  "GRANT pg_monitor TO CURRENT_USER; "
                  "ALTER TABLE po OWNER TO pg_monitor",
                  "on table public.po must be re-created with the new table"},
        Uncarried{
            "ForeignKeyOfAnotherOwnersTable",
            "CREATE TABLE o (x int REFERENCES t)",
            "on table public.o must be re-created with the new table, and "
            "belongs to postgres"},
        Uncarried{"ViewOfAnotherOwner", "CREATE VIEW theirs AS SELECT v FROM t",
                  "view public.theirs must be re-created with the new table"},
        Uncarried{"ForeignKeyToATableWithoutRights",
                  "CREATE TABLE o (x int PRIMARY KEY); "
                  "ALTER TABLE t ADD FOREIGN KEY (v) REFERENCES o",
                  "the rights on public.o do not suffice"},
        Uncarried{"RegclassInAnotherTablesDefault",
                  "CREATE TABLE o (x regclass DEFAULT 't'::regclass)",
                  "default value for column x of table public.o"},
        Uncarried{"RegclassInAnotherTablesCheck",
                  "CREATE TABLE o (x regclass CHECK (x <> 't'::regclass))",
                  "constraint o_x_check on table public.o"},
        Uncarried{"RegclassInItsOwnDefault",
                  "ALTER TABLE t ADD r regclass DEFAULT 't'::regclass",
                  "default value for column r of table public.t names the OID "
                  "of its own table"},
        Uncarried{"RegclassInItsOwnCheck",
                  "ALTER TABLE t ADD CONSTRAINT own "
                  "CHECK (v <> 't'::regclass::oid::bigint)",
                  "constraint own on table public.t names the OID of its own "
                  "table"},
        Uncarried{"RegclassInItsOwnIndex",
                  "ALTER TABLE t ADD r regclass; "
                  "CREATE INDEX own ON t (v) WHERE r = 't'::regclass",
                  "index public.own names the OID of its own table"},
        Uncarried{"ExtensionMember", "ALTER EXTENSION plpgsql ADD TABLE t",
                  "table public.t is a member of extension plpgsql"},
        Uncarried{"IndexThatDependsOnAnExtension",
                  "CREATE INDEX marked ON t (v); "
                  "ALTER INDEX marked DEPENDS ON EXTENSION plpgsql",
                  "index public.marked is marked DEPENDS ON extension plpgsql"},
        Uncarried{"AnotherTablesUseOfItsIdentity",
                  "ALTER TABLE t ADD i int GENERATED ALWAYS AS IDENTITY; "
                  "CREATE TABLE o (x int DEFAULT nextval('t_i_seq'))",
                  "default value for column x of table public.o depends on "
                  "sequence public.t_i_seq"},
        Uncarried{"GrantOfARoleThatWeCannotActAs",
                  "GRANT SELECT ON t TO pg_signal_backend WITH GRANT OPTION; "
                  "GRANT USAGE ON SCHEMA public TO pg_signal_backend; "
                  "SET ROLE pg_signal_backend; GRANT SELECT ON t TO pg_monitor",
                  "a grant on public.t to pg_monitor was passed on by "
                  "pg_signal_backend, as whom the role may not act"},
        Uncarried{"ColumnGrantOfARoleThatMayNotUseTheSchema",
                  "GRANT SELECT (v) ON t TO pg_monitor WITH GRANT OPTION; "
                  "GRANT USAGE ON SCHEMA public TO pg_monitor; SET ROLE "
                  "pg_monitor; GRANT SELECT (v) ON t TO pg_signal_backend; "
                  "RESET ROLE; REVOKE USAGE ON SCHEMA public FROM pg_monitor, "
                  "PUBLIC",
                  "a grant on public.t to pg_signal_backend was passed on by "
                  "pg_monitor, who may not use schema public any more"},
        Uncarried{"RowTypeGrantOfARoleThatWeCannotActAs",
                  "GRANT USAGE ON TYPE t TO pg_signal_backend WITH GRANT "
                  "OPTION; GRANT USAGE ON SCHEMA public TO pg_signal_backend; "
                  "SET ROLE pg_signal_backend; GRANT USAGE ON TYPE t TO "
                  "pg_monitor",
                  "a grant on public.t to pg_monitor was passed on by "
                  "pg_signal_backend, as whom the role may not act"},
        Uncarried{"InvalidIndex",
                  "SET allow_system_table_mods = on; CREATE INDEX half ON t "
                  "(v); UPDATE pg_index SET indisvalid = false WHERE "
                  "indexrelid = 'half'::regclass",
                  "index public.half is invalid"},
        Uncarried{
            "ForeignKeyWithDisabledTriggers",
            "ALTER TABLE t ADD CONSTRAINT self FOREIGN KEY (v) REFERENCES "
            "t; ALTER TABLE t DISABLE TRIGGER ALL",
            "constraint self on table public.t is not enforced, as its "
            "triggers are disabled"},
        // As no provider is loaded, by hand.
        Uncarried{
            "SecurityLabelOfItsRowType",
            "SET allow_system_table_mods = on; INSERT INTO pg_seclabel VALUES "
            "('t'::regtype, 'pg_type'::regclass, 0, 'anon', 'm')",
            "type public.t has a security label of provider anon"},
        Uncarried{
            "UnknownKindOfDependency",
            "SET allow_system_table_mods = on; CREATE VIEW v1 AS SELECT v "
            "FROM t; UPDATE pg_depend SET deptype = 'z' WHERE refobjid = "
            "'t'::regclass AND classid = 'pg_rewrite'::regclass",
            "view public.v1"},
        Uncarried{"UnknownKindOfDependent",
                  "SET allow_system_table_mods = on; INSERT INTO pg_depend "
                  "SELECT 'pg_am'::regclass, 403, 0, 'pg_class'::regclass, "
                  "'t'::regclass, 0, 'n'",
                  "access method btree depends on table public.t"}),
    [](const auto& kind) { return kind.param.name; });

TEST_F(DependentsTest, TheTargetOfASubscriptionIsRefused) {
  Session superuser = superuser_session();
  superuser.exec(
      "CREATE SUBSCRIPTION feed CONNECTION 'dbname=none' "
      "PUBLICATION p WITH (connect = false)");
  superuser.exec(
      "INSERT INTO pg_subscription_rel "
      "SELECT oid, 't'::regclass, 'r', NULL FROM pg_subscription");

  EXPECT_THAT(
      refusals(),
      Contains(Field(&Refusal::what,
                     HasSubstr("subscription feed writes into the table"))));

  superuser.exec("ALTER SUBSCRIPTION feed SET (slot_name = NONE)");
  superuser.exec("DROP SUBSCRIPTION feed");
}

TEST_F(DependentsTest, ATypedTableIsRefused) {
  admin_.exec(
      "DROP TABLE t; CREATE TYPE row AS (id int, v int); "
      "CREATE TABLE t OF row");

  EXPECT_THAT(refusals(), Contains(Field(&Refusal::what,
                                         HasSubstr("is a typed table of "))));
}

// Nothing of such a definition fails on a table whose columns come in another
// order: it reads others.
TEST_F(DependentsTest, AReaderByPlaceIsRefused) {
  admin_.exec(R"sql(
CREATE TABLE o (x int);
CREATE VIEW of_table AS SELECT y.b FROM t AS y(a, b);
CREATE VIEW of_join AS SELECT j."b )" FROM (t JOIN o ON x = v) AS j("a (", "b )");
CREATE VIEW above AS SELECT b FROM of_table;
CREATE MATERIALIZED VIEW mv AS SELECT y.b FROM t AS y(a, b);
CREATE POLICY p ON t USING (v IN (SELECT b FROM t AS y(a, b)));
CREATE POLICY p ON o WITH CHECK (x IN (SELECT b FROM t AS y(a, b)));
CREATE RULE r AS ON DELETE TO o DO ALSO UPDATE t SET w = ''
  FROM t AS y(a, b) WHERE a = t.id;
CREATE FUNCTION f() RETURNS bigint LANGUAGE sql
  RETURN (SELECT sum(b) FROM t AS y(a, b));
CREATE VIEW using_renamed AS SELECT w FROM t JOIN o u(v) USING (v);
CREATE VIEW using_others AS SELECT t.w FROM t JOIN t u USING (id);
CREATE VIEW of_others AS SELECT q.b FROM (SELECT id, v FROM t) AS q(a, b),
  (VALUES (1, 2)) AS val(c, d), o AS z(e);
CREATE VIEW no_list AS SELECT y.v FROM t AS y;
CREATE TABLE m.same (id int, v int, w text, more int);
CREATE TABLE m.fewer (v int, w text);
CREATE TABLE m.renamed (id int, "new V" int, w text);
CREATE TABLE m.both (w text, "new V" int, id int))sql");
  const auto readers = [&](const std::string& target,
                           const std::map<std::string, std::string>& renamed) {
    Reshaped table;
    table.source = oid("public", "t");
    table.target = oid("m", target);
    table.renamed = renamed;
    std::vector<std::string> names;
    for (const Refusal& refusal : readers_by_place(connection_, table)) {
      EXPECT_TRUE(test::is_in_manual(refusal.what)) << refusal.what;
      names.push_back(refusal.what.substr(0, refusal.what.find(" names ")));
    }
    return names;
  };
  const std::vector<std::string> by_place = {
      "function public.f()",        "materialized view public.mv",
      "policy p on table public.o", "policy p on table public.t",
      "rule r on table public.o",   "view public.of_join",
      "view public.of_table"};
  std::vector<std::string> and_renamed = by_place;
  and_renamed.emplace_back("view public.using_renamed");

  EXPECT_THAT(readers("same", {}), IsEmpty());
  EXPECT_THAT(readers("renamed", {{"v", "new V"}}), IsEmpty());
  EXPECT_THAT(readers("fewer", {}),
              ::testing::UnorderedElementsAreArray(by_place));
  EXPECT_THAT(readers("both", {{"v", "new V"}}),
              ::testing::UnorderedElementsAreArray(and_renamed));
  // By another name of the table's the server prints the list by itself.
  admin_.exec("ALTER TABLE t RENAME v TO since_renamed");
  EXPECT_THAT(readers("fewer", {}),
              ::testing::UnorderedElementsAreArray(and_renamed));
}

TEST_F(DependentsTest, ThePublicationOfTheMigrationItselfIsNoDependent) {
  superuser_session().exec("CREATE PUBLICATION ours FOR TABLE t");

  EXPECT_THAT(refusals("ours"), IsEmpty());
}

TEST_F(DependentsTest, WhatNeedsADroppedColumnIsNamed) {
  admin_.exec(
      "CREATE TABLE o (x int PRIMARY KEY); "
      "ALTER TABLE t ADD CONSTRAINT fk FOREIGN KEY (v) REFERENCES o; "
      "CREATE TABLE m.t (id int, w text)");

  EXPECT_THAT(
      dependents_on_dropped_columns(
          connection_, {.source = oid("public", "t"), .target = oid("m", "t")}),
      ElementsAre(Field(&Refusal::what, AllOf(HasSubstr("constraint fk"),
                                              HasSubstr("needs column v")))));
}

}  // namespace
}  // namespace pgrecast::catalog
