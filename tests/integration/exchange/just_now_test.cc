// What others do between the moment in which definitions are read and the one
// in which they are replayed, where no lock of ours keeps them from it: the
// replay would undo it without a word. Nothing is exchanged then, and the next
// attempt carries it.

#include "exchange_fixture.h"

#include <thread>

namespace pgrecast::exchange {
namespace {

using test::eventually;
using test::Session;
using ::testing::HasSubstr;
using Outcome = Attempt::Outcome;

struct Change {
  const char* name;
  const char* sql;
  const char* is_there;  // a query; "t" once the new table has it, too
};

void PrintTo(const Change& change, std::ostream* out) {
  *out << change.sql;
}

class JustNowTest : public ExchangeFixture {
 protected:
  void SetUp() override {
    ExchangeFixture::SetUp();
    admin_.exec(R"sql(
CREATE TABLE public.t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v int);
INSERT INTO t (v) VALUES (1), (2);
CREATE TABLE public.child (t int CONSTRAINT "to t" REFERENCES t);
INSERT INTO child VALUES (1);
ALTER TABLE child ADD more int,
  ADD CONSTRAINT unsure FOREIGN KEY (more) REFERENCES t NOT VALID;
COMMENT ON CONSTRAINT "to t" ON child IS 'old';
CREATE RULE elsewhere AS ON DELETE TO child DO ALSO
  UPDATE t SET v = 0 WHERE id = OLD.t;
COMMENT ON RULE elsewhere ON child IS 'old';
CREATE FUNCTION f() RETURNS bigint LANGUAGE sql
  BEGIN ATOMIC SELECT count(*) FROM t; END;
CREATE FUNCTION called() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN RETURN NEW; END';
CREATE TRIGGER calls BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION called();
CREATE SCHEMA blue;
CREATE FUNCTION blue.called() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN RETURN NEW; END';
CREATE SCHEMA green;
CREATE FUNCTION green.called() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN RETURN NULL; END';
CREATE TRIGGER far BEFORE UPDATE ON t FOR EACH ROW
  EXECUTE FUNCTION blue.called();
CREATE STATISTICS public.st ON id, v FROM t;
CREATE PUBLICATION feed FOR TABLE t)sql");
    make_shadow("t");
  }

  void expect_carried_by_the_next(const Attempt& first, const ExchangeTable& t,
                                  const Change& change) {
    EXPECT_EQ(first.outcome, Outcome::kBlocked) << first.reason;
    EXPECT_THAT(first.reason, HasSubstr("changed just now"));
    EXPECT_FALSE(was_exchanged(connection_, t));
    const Attempt second = attempt({t});
    ASSERT_EQ(second.outcome, Outcome::kExchanged) << second.reason;
    EXPECT_EQ(value(change.is_there), "t");
  }
};

class BeforeTheLocksTest : public JustNowTest,
                           public ::testing::WithParamInterface<Change> {};
class UnderTheLocksTest : public JustNowTest,
                          public ::testing::WithParamInterface<Change> {};

// Somebody's transaction holds what the exchange wants next, and commits while
// it is waited for.
TEST_P(BeforeTheLocksTest, ItIsCarriedByTheNextAttempt) {
  const ExchangeTable t = table("t");
  options_.long_holder = std::chrono::hours(1);
  Session somebody = session();
  somebody.exec("BEGIN; LOCK TABLE child IN SHARE UPDATE EXCLUSIVE MODE");
  somebody.exec(GetParam().sql);
  const int our_pid = connection_.backend_pid();
  Attempt first;
  std::thread exchanging([&] { first = attempt({t}); });
  EXPECT_TRUE(eventually([&] { return waits(our_pid); }));

  somebody.exec("COMMIT");
  exchanging.join();

  expect_carried_by_the_next(first, t, GetParam());
}

TEST_P(UnderTheLocksTest, ItIsCarriedByTheNextAttempt) {
  const ExchangeTable t = table("t");
  ExchangeHooks hooks;
  hooks.drain = [&](pg::Connection&, Deadline) { admin_.exec(GetParam().sql); };

  const Attempt first = attempt({t}, hooks);

  expect_carried_by_the_next(first, t, GetParam());
}

std::string name_of(const ::testing::TestParamInfo<Change>& change) {
  return change.param.name;
}

INSTANTIATE_TEST_SUITE_P(
    Each, BeforeTheLocksTest,
    ::testing::Values(
        Change{"CommentOnAForeignKeyFromElsewhere",
               "COMMENT ON CONSTRAINT \"to t\" ON child IS 'new'",
               "SELECT obj_description(oid) = 'new' FROM pg_constraint "
               "WHERE conname = 'to t'"},
        Change{"ForeignKeyFromElsewhereIsValidated",
               "ALTER TABLE child VALIDATE CONSTRAINT unsure",
               "SELECT count(*) = 1 FROM pg_constraint "
               "WHERE conname = 'unsure'"},
        Change{"CommentOnARuleElsewhere",
               "COMMENT ON RULE elsewhere ON child IS 'new'",
               "SELECT obj_description(oid) = 'new' FROM pg_rewrite "
               "WHERE rulename = 'elsewhere'"},
        Change{"RuleElsewhereIsDisabled",
               "ALTER TABLE child DISABLE RULE elsewhere",
               "SELECT ev_enabled = 'D' FROM pg_rewrite "
               "WHERE rulename = 'elsewhere'"},
        Change{"CommentOnTheIdentity", "COMMENT ON SEQUENCE t_id_seq IS 'new'",
               "SELECT obj_description('t_id_seq'::regclass) = 'new'"}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    Each, UnderTheLocksTest,
    ::testing::Values(
        Change{"FunctionsOptions", "ALTER FUNCTION f() COST 77",
               "SELECT procost = 77 FROM pg_proc WHERE proname = 'f'"},
        Change{"FunctionReadsTheTableNoMore",
               "CREATE OR REPLACE FUNCTION f() RETURNS bigint LANGUAGE sql "
               "BEGIN ATOMIC SELECT 5::bigint; END",
               "SELECT f() = 5"},
        Change{"FunctionIsRenamed", "ALTER FUNCTION f() RENAME TO g",
               "SELECT g() = 2"},
        Change{"FunctionOfATriggerIsReplacedByAnother",
               "ALTER FUNCTION called() RENAME TO was_called; "
               "CREATE FUNCTION called() RETURNS trigger LANGUAGE plpgsql AS "
               "'BEGIN RETURN NULL; END'",
               "SELECT tgfoid = 'was_called'::regproc FROM pg_trigger "
               "WHERE tgrelid = 't'::regclass AND tgname = 'calls'"},
        Change{"SchemasChangeTheirNames",
               "ALTER SCHEMA blue RENAME TO old; ALTER SCHEMA green RENAME TO "
               "blue",
               "SELECT tgfoid = 'old.called'::regproc FROM pg_trigger WHERE "
               "tgrelid = 't'::regclass AND tgname = 'far'"},
        Change{"StatisticsTarget", "ALTER STATISTICS st SET STATISTICS 9",
               "SELECT stxstattarget = 9 FROM pg_statistic_ext WHERE stxrelid "
               "= 't'::regclass"},
        Change{"StatisticsAreRenamed", "ALTER STATISTICS st RENAME TO other",
               "SELECT stxname = 'other' FROM pg_statistic_ext WHERE stxrelid "
               "= 't'::regclass"},
        Change{"CommentOnStatistics", "COMMENT ON STATISTICS st IS 'new'",
               "SELECT obj_description(oid, 'pg_statistic_ext') = 'new' FROM "
               "pg_statistic_ext WHERE stxrelid = 't'::regclass"},
        Change{"PublicationIsRenamed", "ALTER PUBLICATION feed RENAME TO food",
               "SELECT pubname = 'food' FROM pg_publication_tables WHERE "
               "tablename = 't' AND schemaname = 'public'"}),
    name_of);

}  // namespace
}  // namespace pgrecast::exchange
