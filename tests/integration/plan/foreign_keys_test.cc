// What the plan says of the foreign keys around a table whose key changes.

#include "by_hand_fixture.h"

namespace pgrecast::plan {
namespace {

using test::Session;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

class ForeignKeysTest : public ByHand {
 protected:
  std::vector<Refusal> refusals(const std::string& script) {
    try {
      plan_of(script);
      return {};
    } catch (const Refused& refused) {
      return refused.refusals();
    }
  }

  // What is refused, without the remedies.
  std::vector<std::string> reasons(const std::string& script) {
    std::vector<std::string> all;
    for (const Refusal& refusal : refusals(script)) all.push_back(refusal.what);
    return all;
  }

  static auto remedied_by(const std::string& statement) {
    return Field(&Refusal::remedy,
                 HasSubstr("add to the script: " + statement + ";"));
  }
};

constexpr const char* kUsers = R"sql(
CREATE TABLE src.users (id int PRIMARY KEY, boss int REFERENCES src.users);
CREATE TABLE src.orders (id int PRIMARY KEY, "by" int REFERENCES src.users,
                         on_behalf_of int REFERENCES src.users))sql";

TEST_F(ForeignKeysTest, AWidenedKeyIsRefusedUntilAllThatReferToItAreWidened) {
  session().exec(kUsers);

  EXPECT_THAT(
      refusals("ALTER TABLE users ALTER id TYPE bigint, ALTER boss TYPE "
               "bigint; ALTER TABLE orders ALTER \"by\" TYPE bigint"),
      ElementsAre(AllOf(
          Field(&Refusal::what, AllOf(HasSubstr("src.users.id becomes bigint"),
                                      HasSubstr("src.orders.on_behalf_of"),
                                      HasSubstr("orders_on_behalf_of_fkey"))),
          remedied_by("ALTER TABLE src.orders ALTER COLUMN on_behalf_of TYPE "
                      "bigint"))));
  EXPECT_THAT(
      refusals("ALTER TABLE users ALTER id TYPE bigint"),
      UnorderedElementsAre(
          remedied_by("ALTER TABLE src.users ALTER COLUMN boss TYPE bigint"),
          remedied_by("ALTER TABLE src.orders ALTER COLUMN by TYPE bigint"),
          remedied_by("ALTER TABLE src.orders ALTER COLUMN on_behalf_of TYPE "
                      "bigint")));
  EXPECT_THAT(
      refusals("ALTER TABLE users ALTER id TYPE bigint, ALTER boss TYPE "
               "bigint; ALTER TABLE orders ALTER \"by\" TYPE bigint, ALTER "
               "on_behalf_of TYPE bigint"),
      IsEmpty());
}

TEST_F(ForeignKeysTest, AColumnThatHoldsEveryValueOfTheNewKeyMayStay) {
  session().exec(R"sql(
CREATE TABLE src.users (id int PRIMARY KEY, code varchar(5) UNIQUE);
CREATE TABLE src.wide (id bigint REFERENCES src.users,
                       code text REFERENCES src.users (code)))sql");

  EXPECT_THAT(refusals("ALTER TABLE users ALTER id TYPE bigint, "
                       "ALTER code TYPE varchar(9)"),
              IsEmpty());
}

TEST_F(ForeignKeysTest, AReferenceAloneMayBeWidened) {
  session().exec(kUsers);

  EXPECT_THAT(refusals("ALTER TABLE orders ALTER \"by\" TYPE bigint"),
              IsEmpty());
}

TEST_F(ForeignKeysTest, ColumnsAtBothEndsMayBeRenamed) {
  session().exec(
      "CREATE TABLE src.p (id int PRIMARY KEY, u int UNIQUE, c text);"
      "CREATE TABLE src.q (id int PRIMARY KEY, pid int REFERENCES src.p,"
      " pu int REFERENCES src.p (u), x text)");
  for (const char* script : {
           "ALTER TABLE q RENAME pid TO i; UPDATE q SET x = '1'",
           "ALTER TABLE p RENAME id TO i; UPDATE p SET c = 'x'",
           "ALTER TABLE p RENAME u TO \"U u\"; ALTER TABLE q RENAME pu TO u;"
           "UPDATE q SET x = '1'",
           // Their names exchanged, and with a column of another type.
           "ALTER TABLE q RENAME pid TO t; ALTER TABLE q RENAME pu TO pid;"
           "ALTER TABLE q RENAME t TO pu; UPDATE q SET x = '1'",
           "ALTER TABLE q RENAME pid TO t; ALTER TABLE q RENAME x TO pid;"
           "ALTER TABLE q RENAME t TO x; UPDATE q SET pid = '1'",
           "ALTER TABLE p RENAME u TO t; ALTER TABLE p ADD u text",
       }) {
    SCOPED_TRACE(script);
    EXPECT_THAT(refusals(script), IsEmpty());
  }
}

TEST_F(ForeignKeysTest, ARenamedKeyIsWidenedWithAllThatReferToIt) {
  session().exec(kUsers);

  EXPECT_THAT(
      refusals("ALTER TABLE users RENAME id TO i; ALTER TABLE users ALTER i "
               "TYPE bigint, ALTER boss TYPE bigint; ALTER TABLE orders ALTER "
               "\"by\" TYPE bigint"),
      ElementsAre(remedied_by("ALTER TABLE src.orders ALTER COLUMN "
                              "on_behalf_of TYPE bigint")));
}

TEST_F(ForeignKeysTest, TypesThatTheServerCannotCompareAreRefused) {
  session().exec(kUsers);

  EXPECT_THAT(refusals("ALTER TABLE orders ALTER \"by\" TYPE text"),
              ElementsAre(Field(&Refusal::what,
                                AllOf(HasSubstr("orders_by_fkey"),
                                      HasSubstr("cannot be made again")))));
}

// On the clone nothing hangs on the constraint, so that it can be dropped.
TEST_F(ForeignKeysTest, AConstraintThatAForeignKeyNeedsCannotBeDropped) {
  session().exec(R"sql(
CREATE TABLE src.t (id int PRIMARY KEY, code int CONSTRAINT codes UNIQUE);
CREATE TABLE src.other (code int REFERENCES src.t (code)))sql");

  EXPECT_THAT(refusals("ALTER TABLE t DROP CONSTRAINT codes"),
              ElementsAre(Field(&Refusal::what,
                                HasSubstr("foreign key other_code_fkey"))));
}

TEST_F(ForeignKeysTest, EveryKindOfForeignKeyPasses) {
  session().exec(R"sql(
CREATE TABLE src."T "" x" (a int, "B b" int, c text, PRIMARY KEY (a, "B b"));
CREATE TABLE src.kinds (id int PRIMARY KEY, a int, b int,
  CONSTRAINT full_ FOREIGN KEY (a, b) REFERENCES src."T "" x" MATCH FULL
    ON UPDATE CASCADE ON DELETE SET DEFAULT,
  CONSTRAINT late FOREIGN KEY (a, b) REFERENCES src."T "" x"
    DEFERRABLE INITIALLY DEFERRED,
  CONSTRAINT swapped FOREIGN KEY (b, a) REFERENCES src."T "" x" ("B b", a)
    ON DELETE RESTRICT DEFERRABLE);
ALTER TABLE src.kinds ADD CONSTRAINT "not v" FOREIGN KEY (a, b)
  REFERENCES src."T "" x" NOT VALID)sql");
  if (cluster().version() >= 15) {
    session().exec(
        "ALTER TABLE src.kinds ADD CONSTRAINT partly FOREIGN KEY (a, b) "
        "REFERENCES src.\"T \"\" x\" ON DELETE SET NULL (b)");
  }
  if (cluster().version() >= 18) {
    session().exec(
        "ALTER TABLE src.kinds ADD CONSTRAINT loose FOREIGN KEY (a, b) "
        "REFERENCES src.\"T \"\" x\" NOT ENFORCED");
  }

  EXPECT_THAT(refusals("ALTER TABLE kinds ALTER id TYPE bigint"), IsEmpty());
  EXPECT_THAT(refusals("ALTER TABLE \"T \"\" x\" ALTER c TYPE varchar"),
              IsEmpty());
  EXPECT_THAT(refusals("ALTER TABLE \"T \"\" x\" ALTER \"B b\" TYPE bigint"),
              ElementsAre(remedied_by(
                  "ALTER TABLE src.kinds ALTER COLUMN b TYPE bigint")));
}

// Whoever plans may look, but must not hinder: the question is asked on
// stand-ins.
TEST_F(ForeignKeysTest, NoTableOfTheApplicationsIsLockedForTheQuestion) {
  session().exec(kUsers);
  Session writer = session();
  writer.exec(
      "BEGIN; INSERT INTO src.orders VALUES (1); "
      "LOCK TABLE src.users IN ROW EXCLUSIVE MODE");
  connection_->exec("SET lock_timeout = '1s'");

  EXPECT_THAT(refusals("ALTER TABLE users ADD COLUMN x int"), IsEmpty());
}

TEST_F(ForeignKeysTest, NothingIsLeftOfTheQuestion) {
  session().exec(kUsers);
  plan_ = plan_of("ALTER TABLE users ADD COLUMN x int");
  pg::Transaction transaction(*connection_);
  build_shadows(
      *connection_,
      script::Script::parse("ALTER TABLE users ADD COLUMN x int", "test.sql"),
      plan_);
  transaction.commit();

  EXPECT_EQ(admin_.query_value("SELECT count(*) FROM pg_class c JOIN "
                               "pg_namespace n ON n.oid = relnamespace "
                               "WHERE nspname LIKE 'pgrecast%' AND relkind "
                               "IN ('r', 'i')"),
            "1");
  EXPECT_EQ(admin_.query_value("SELECT count(*) FROM pg_constraint WHERE "
                               "contype = 'f'"),
            "3");
}

constexpr const char* kDropped = R"sql(
CREATE TABLE src.countries (id int PRIMARY KEY);
CREATE TABLE src.t (id int PRIMARY KEY, boss int REFERENCES src.t, a int, b int,
  country int REFERENCES src.countries, UNIQUE (id, a),
  CONSTRAINT pair FOREIGN KEY (b, a) REFERENCES src.t (id, a));
INSERT INTO src.countries VALUES (1);
INSERT INTO src.t VALUES (1, 1, 1, 1, 1))sql";

// By hand a column takes them along, without CASCADE.
TEST_F(ForeignKeysTest, ThoseThatTheScriptDropsAreKnown) {
  session().exec(kDropped);

  const Plan plan = plan_of(
      "ALTER TABLE t DROP CONSTRAINT t_boss_fkey, ALTER boss TYPE bigint;"
      "ALTER TABLE t RENAME country TO c; ALTER TABLE t DROP c, DROP a");

  const TableTarget& target = plan.targets.at(0);
  EXPECT_THAT(target.dropped_foreign_keys,
              ElementsAre("pair", "t_boss_fkey", "t_country_fkey"));
  EXPECT_EQ(TableTarget::from_json(target.to_json()).dropped_foreign_keys,
            target.dropped_foreign_keys);
}

TEST_F(ForeignKeysTest, OnesThatStayAreNotDropped) {
  session().exec(kDropped);

  const Plan plan = plan_of(
      "ALTER TABLE t ALTER b TYPE bigint; ALTER TABLE t DROP CONSTRAINT IF "
      "EXISTS none; ALTER TABLE t ADD CONSTRAINT mine CHECK (b > 0);"
      "ALTER TABLE t DROP CONSTRAINT mine");

  EXPECT_THAT(plan.targets.at(0).dropped_foreign_keys, IsEmpty());
}

// The name is free again, for a constraint of another kind.
TEST_F(ForeignKeysTest, ANameThatIsDroppedMayBeTakenAgain) {
  session().exec(kDropped);

  const Plan plan = plan_of(
      "ALTER TABLE t DROP CONSTRAINT pair, ADD CONSTRAINT pair CHECK (b > 0)");

  EXPECT_THAT(plan.targets.at(0).dropped_foreign_keys, ElementsAre("pair"));
}

TEST_F(ForeignKeysTest, OneIsDroppedOnlyOnce) {
  session().exec(kDropped);

  EXPECT_THAT(refusals("ALTER TABLE t DROP CONSTRAINT pair; ALTER TABLE t DROP "
                       "CONSTRAINT pair"),
              ElementsAre(Field(&Refusal::what, HasSubstr("does not exist"))));
}

// Without the key that refers to it, the other may become what it likes.
TEST_F(ForeignKeysTest, ADroppedOneKeepsNoKeyFromBeingWidened) {
  session().exec(kUsers);

  EXPECT_THAT(
      refusals("ALTER TABLE users ALTER id TYPE bigint, ALTER boss TYPE "
               "bigint; ALTER TABLE orders DROP CONSTRAINT "
               "orders_by_fkey, DROP COLUMN on_behalf_of"),
      IsEmpty());
}

// The names that the server would choose for t.a and t.a1 are taken.
constexpr const char* kAdding = R"sql(
CREATE TABLE u (id int PRIMARY KEY, code text COLLATE "C" UNIQUE, x int, y int,
  UNIQUE (x, y));
CREATE TABLE "U "" v" (id bigint PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE v_1 PARTITION OF "U "" v" FOR VALUES FROM (0) TO (100);
CREATE TABLE t (id int PRIMARY KEY, a int, b int, c text,
  CONSTRAINT was FOREIGN KEY (b) REFERENCES u);
CREATE TABLE other (id int PRIMARY KEY,
  a int CONSTRAINT t_a_fkey REFERENCES u);
INSERT INTO u SELECT x, x, x, x FROM generate_series(1, 9) AS x;
INSERT INTO "U "" v" SELECT x FROM generate_series(1, 9) AS x;
INSERT INTO t SELECT x, x, nullif(x, 3), x FROM generate_series(1, 9) AS x)sql";

TEST_F(ForeignKeysTest, WhatIsAddedIsWhatTheServerMakesOfIt) {
  const std::string of_columns = cluster().version() >= 15
                                     ? ", ADD FOREIGN KEY (b, a) REFERENCES u "
                                       "(x, y) ON DELETE SET NULL (b)"
                                     : "";
  const std::vector<std::string> scripts{
      "ALTER TABLE t ADD COLUMN r int REFERENCES u, ADD q int DEFAULT 1 "
      "CONSTRAINT \"Q q\" REFERENCES u DEFERRABLE INITIALLY DEFERRED; "
      "UPDATE t SET r = a; ALTER TABLE t ALTER r SET NOT NULL;"
      "ALTER TABLE t ADD FOREIGN KEY (a, b) REFERENCES u (y, x) MATCH FULL ON "
      "UPDATE CASCADE ON DELETE SET DEFAULT NOT VALID, ADD FOREIGN KEY (a) "
      "REFERENCES t, ADD FOREIGN KEY (c) REFERENCES u (code)" +
          of_columns +
          "; ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES "
          "\"U \"\" v\" NOT VALID; ALTER TABLE t VALIDATE CONSTRAINT f; "
          "COMMENT ON CONSTRAINT f ON t IS 'it''s f'",
      // What follows goes on with it.
      "ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES u, ADD FOREIGN KEY (b) "
      "REFERENCES u (id); ALTER TABLE t RENAME a TO b2; ALTER TABLE t ALTER b2 "
      "TYPE bigint; ALTER TABLE t DROP b; ALTER TABLE t ADD FOREIGN KEY (b2) "
      "REFERENCES u",
      // Names that others have, and such as are free again.
      "ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES u; ALTER TABLE t RENAME "
      "CONSTRAINT t_a_fkey1 TO n; COMMENT ON CONSTRAINT n ON t IS 'n'; ALTER "
      "TABLE t ADD FOREIGN KEY (a) REFERENCES u; ALTER TABLE t DROP CONSTRAINT "
      "t_a_fkey1; ALTER TABLE other DROP CONSTRAINT t_a_fkey; ALTER TABLE t "
      "ADD FOREIGN KEY (a) REFERENCES u; ALTER TABLE t DROP CONSTRAINT was, "
      "ADD CONSTRAINT was FOREIGN KEY (a) REFERENCES u; ALTER TABLE t DROP "
      "CONSTRAINT was; ALTER TABLE t ADD CONSTRAINT was FOREIGN KEY (b) "
      "REFERENCES u (id) ON DELETE CASCADE",
      // To one that the script changes, too: as it is then.
      "ALTER TABLE u ALTER id TYPE bigint; ALTER TABLE other ALTER a TYPE "
      "bigint; ALTER TABLE t ALTER b TYPE bigint, ALTER a TYPE bigint, ADD "
      "FOREIGN KEY (a) REFERENCES u; ALTER TABLE u ADD UNIQUE (x); ALTER TABLE "
      "t ADD FOREIGN KEY (b) REFERENCES u (x); ALTER TABLE u RENAME x TO w"};
  for (const std::string& script : scripts) {
    same(kAdding, script);
    clear();
  }
}

TEST_F(ForeignKeysTest, WhatTheServerDoesNotTakeIsRefusedWithItsWords) {
  for (const char* script :
       {"ALTER TABLE t ADD FOREIGN KEY (c) REFERENCES u",
        "ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES u (x)",
        "ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES u (nothing)",
        "ALTER TABLE t ADD FOREIGN KEY (nothing) REFERENCES u",
        "ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES u; ALTER TABLE t DROP "
        "CONSTRAINT t_a_fkey",
        "ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES u; ALTER TABLE t ALTER a "
        "TYPE text"}) {
    fails_alike(kAdding, script);
    clear();
  }
}

// By hand rows of another table would go, or change, too.
TEST_F(ForeignKeysTest, WhatWouldCascadeByHandIsRefused) {
  session().exec(
      "CREATE TABLE src.u (id int PRIMARY KEY, code text UNIQUE, x int UNIQUE);"
      "CREATE TABLE src.t (id int PRIMARY KEY,"
      "  a int CONSTRAINT ta REFERENCES src.u ON DELETE SET NULL,"
      "  c text CONSTRAINT tc REFERENCES src.u (code) ON UPDATE CASCADE,"
      "  x int CONSTRAINT tx REFERENCES src.u (x))");

  for (const auto& [script, name] :
       std::vector<std::pair<const char*, const char*>>{
           {"DELETE FROM u WHERE id = 1", "foreign key ta of"},
           {"UPDATE u SET code = code || '1'", "foreign key tc of"},
           {"ALTER TABLE u RENAME code TO k; UPDATE u SET k = k || '1'",
            "foreign key tc of"}}) {
    SCOPED_TRACE(script);
    EXPECT_THAT(reasons(script), ElementsAre(HasSubstr(name)));
  }
  const Plan plan = plan_of(
      "ALTER TABLE t DROP CONSTRAINT ta, DROP CONSTRAINT tc, ADD n int; "
      "UPDATE u SET code = code || '1'; DELETE FROM u WHERE id = 1");
  EXPECT_THAT(plan.notes, Contains(HasSubstr("foreign key tx")));
  EXPECT_THAT(plan_of("ALTER TABLE u ADD n int; UPDATE u SET n = 1").notes,
              Not(Contains(HasSubstr("foreign key"))));
}

TEST_F(ForeignKeysTest, WhatCannotBeAddedIsRefusedWithAReason) {
  make_tables("src", kAdding);
  session().exec(
      "CREATE VIEW src.seen AS SELECT * FROM src.u;"
      "CREATE UNLOGGED TABLE src.fast (id int PRIMARY KEY)");
  const auto refused_as = [&](const std::string& script, const char* words) {
    SCOPED_TRACE(script);
    EXPECT_THAT(reasons(script), ElementsAre(HasSubstr(words)));
  };
  const std::string adds = "ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES ";

  refused_as(adds + "none", "there is no table none");
  refused_as(adds + "seen", "is no table of rows");
  refused_as(adds + "fast", "is unlogged or temporary");
  refused_as(adds + "pg_catalog.pg_class (oid)", "is no table of rows");
  refused_as("ALTER TABLE t ADD CONSTRAINT was FOREIGN KEY (a) REFERENCES u",
             "has a foreign key was already");
  refused_as(adds + "u; ALTER TABLE t RENAME CONSTRAINT t_a_fkey1 TO was",
             "has a foreign key was already");
  refused_as("ALTER TABLE \"U \"\" v\" ADD FOREIGN KEY (id) REFERENCES u",
             "partitioned table, or to a partition");
  refused_as("ALTER TABLE v_1 ADD FOREIGN KEY (id) REFERENCES u",
             "partitioned table, or to a partition");
  // By hand rows of t would change with those of u.
  refused_as(
      "ALTER TABLE t ADD FOREIGN KEY (c) REFERENCES u (code) ON UPDATE "
      "CASCADE; UPDATE u SET code = code || '1'",
      "by hand this changes rows that refer to it");
  refused_as(adds + "u ON DELETE SET NULL; DELETE FROM u WHERE x = 9",
             "by hand this changes rows that refer to it");
  refused_as(adds + "u; CREATE TABLE t (id int PRIMARY KEY, a int)",
             "is gone with the old shape");
  refused_as(adds +
                 "u; ALTER TABLE u ADD n int; CREATE TABLE u (id int "
                 "PRIMARY KEY)",
             "is gone with the old shape");
}

TEST_F(ForeignKeysTest, RightsOnTheOtherTableAreAskedFor) {
  make_tables("src", kAdding);
  session().exec("ALTER TABLE src.t DROP CONSTRAINT was");
  admin_.exec("ALTER TABLE src.u OWNER TO postgres");
  const std::string adds = "ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES u";
  const auto grant = [&](const std::string& right) {
    admin_.exec(fmt::format("GRANT {} ON src.u TO PUBLIC", right));
  };

  EXPECT_THAT(reasons(adds), ElementsAre(HasSubstr("may not be read")));
  grant("SELECT, UPDATE, REFERENCES (x)");
  EXPECT_THAT(reasons(adds),
              ElementsAre(HasSubstr("the rights on that do not")));
  grant("REFERENCES (id)");
  EXPECT_THAT(reasons(adds), IsEmpty());
  admin_.exec("ALTER TABLE src.u ENABLE ROW LEVEL SECURITY");
  EXPECT_THAT(reasons(adds), ElementsAre(HasSubstr("hide rows")));
}

// Whoever plans, and whoever runs, only looks at the other table: the server
// would keep its writers out for the length of our transaction.
TEST_F(ForeignKeysTest, TheOtherTableIsNotLockedForWhatIsAdded) {
  make_tables("src", kAdding);
  Session writer = session();
  writer.exec("BEGIN; INSERT INTO src.u VALUES (100)");
  connection_->exec("SET lock_timeout = '1s'");
  const std::string script =
      "ALTER TABLE t ADD COLUMN r int REFERENCES u, ADD FOREIGN KEY (a) "
      "REFERENCES u; UPDATE t SET r = a";

  plan_ = plan_of(script);
  pg::Transaction transaction(*connection_);
  build_shadows(*connection_, script::Script::parse(script, "test.sql"), plan_);

  EXPECT_EQ(admin_.query_value(fmt::format(
                "SELECT string_agg(DISTINCT mode, ',') FROM pg_locks WHERE pid "
                "= {} AND relation = 'src.u'::regclass",
                connection_->backend_pid())),
            "AccessShareLock");
  transaction.commit();
  EXPECT_EQ(
      admin_.query_value("SELECT string_agg(relname, ',') FROM pg_class "
                         "WHERE relkind = 'r' AND relnamespace IN (SELECT "
                         "oid FROM pg_namespace WHERE nspname LIKE "
                         "'pgrecast%')"),
      "t");
  EXPECT_EQ(admin_.query_value("SELECT count(*) FROM pg_constraint WHERE "
                               "contype = 'f' AND conrelid = "
                               "'\"pgrecast_The \"\"m\"\"\".t'::regclass"),
            "0");
  const TableTarget& target = plan_.targets.at(0);
  EXPECT_EQ(TableTarget::from_json(target.to_json()).added_foreign_keys,
            target.added_foreign_keys);
  EXPECT_EQ(target.added_foreign_keys.size(), 2U);
}

}  // namespace
}  // namespace pgrecast::plan
