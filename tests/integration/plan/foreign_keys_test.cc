// What the plan says of the foreign keys around a table whose key changes.

#include "by_hand_fixture.h"

namespace pgrecast::plan {
namespace {

using test::Session;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
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

}  // namespace
}  // namespace pgrecast::plan
