// Keys that have several forms, 5.0 and 5.00: one key to the server and two in
// the change buffer, each of which refreshes the row, whatever form it has now.

#include "pgrecast/base/sync_point.h"
#include "pgrecast/pg/errors.h"

#include "scenarios/rules/rig.h"
#include "scenarios/rules/story.h"

#include <chrono>
#include <future>

namespace pgrecast::test {
namespace {

class KeyOfManyForms : public TestDatabase {
 protected:
  void make_table(Session& owner, const std::string& columns) {
    owner.exec("DROP TABLE IF EXISTS t");
    owner.exec("CREATE TABLE t (" + columns + ")");
  }

  // The shadow has the source's columns, and v as bigint.
  static long wrong_rows(Session& reader, const Rig& rig) {
    return differing_rows(
        reader, "SELECT to_jsonb(t)::text, k::text FROM t",
        "SELECT to_jsonb(s)::text, k::text FROM " + rig.shadow() + " AS s");
  }

  // One form of a key is left dirty without the other: a seal came between the
  // two that an update had dirtied, or a round forgot one and not the other.
  long wrong_rows_after_one_form_was_refreshed() {
    Session owner = session();
    make_table(owner, "k numeric PRIMARY KEY, v int");
    owner.exec("INSERT INTO t VALUES (5.00, 1)");
    Rig rig(database(), "ALTER TABLE t ALTER COLUMN v TYPE bigint;");
    rig.build();
    owner.exec("UPDATE t SET k = 5.0");
    rig.exact();
    EXPECT_FALSE(rig.is_dirty(0, {"5.00"}));
    rig.mark_dirty(0, {"5.00"});
    rig.exact();
    return wrong_rows(owner, rig);
  }

  // A batch with 5.00 is skipped, and the one with 5.0 is not: 10, the value
  // that row 1 had in the first batch's snapshot, is row 7's in the second's.
  // (All of a batch, and not row 7 alone: the constraint is deferrable.)
  long wrong_rows_after_a_batch_was_skipped() {
    Session owner = session();
    Held held(owner);
    make_table(owner, "k numeric PRIMARY KEY, u int UNIQUE DEFERRABLE, v int");
    owner.exec(
        "INSERT INTO t VALUES (1, 10, $1::int), (5.00, 50, 0), "
        "(7, 70, 0)",
        std::string(Held::kValue));
    Rig rig(database(), Held::script());
    rig.build();
    owner.exec(
        "UPDATE t SET k = 5.0 WHERE k = 5; UPDATE t SET u = u + 1;"
        "UPDATE t SET u = u - 1");
    held.hold();
    std::future<refresh::RoundResult> round =
        std::async(std::launch::async, [&] { return rig.loose(2, true); });
    held.wait_until_held();
    owner.exec(
        "BEGIN; UPDATE t SET u = -1 WHERE k = 1;"
        "UPDATE t SET u = 10 WHERE k = 7; COMMIT");
    held.release();
    EXPECT_EQ(round.get().skipped, 2U);
    rig.exact();
    return wrong_rows(owner, rig);
  }

  // The bits of a NaN that was computed are not those of one that was read.
  static void insert_computed_nan(Session& owner) {
    owner.exec(
        "INSERT INTO t SELECT CASE WHEN float8send(n) = float8send('NaN') "
        "THEN -n ELSE n END, 1 FROM (SELECT 0::float8 * 'inf' AS n) AS c");
    ASSERT_EQ(owner.query_value("SELECT count(*) FROM t WHERE float8send(k) = "
                                "float8send('NaN')"),
              "0");
  }

  long wrong_rows_after_a_nan_changed(bool while_copying) {
    Session owner = session();
    make_table(owner, "k float8 PRIMARY KEY, v int");
    insert_computed_nan(owner);
    owner.exec("INSERT INTO t VALUES ('-0', 1), (0.1::float8 + 0.2, 1)");
    Rig rig(database(), "ALTER TABLE t ALTER COLUMN v TYPE bigint;");
    if (!while_copying) rig.build();
    if (while_copying) rig.copy();
    owner.exec("UPDATE t SET v = 2");
    if (while_copying) rig.settle();
    if (while_copying) rig.index();
    rig.exact();
    return wrong_rows(owner, rig);
  }

  // What building the key's index meets when the key takes another form
  // between two batches of settling.
  std::string index_after_the_form_changed() {
    Session owner = session();
    Held held(owner);
    make_table(owner, "k numeric PRIMARY KEY, v int");
    owner.exec("INSERT INTO t VALUES (5.00, $1::int)",
               std::string(Held::kValue));
    Rig rig(database(), Held::script());
    rig.copy();
    owner.exec("UPDATE t SET k = 5.0");
    held.hold();
    std::future<refresh::RoundResult> settled =
        std::async(std::launch::async, [&] { return rig.settle(1); });
    // With the rule nothing is put in here, and so nothing held.
    const auto is_over = [&] {
      return settled.wait_for(std::chrono::seconds(0)) ==
             std::future_status::ready;
    };
    EXPECT_TRUE(eventually([&] { return held.count() == 1 || is_over(); }));
    owner.exec("UPDATE t SET k = 5.00");
    held.release();
    EXPECT_EQ(settled.get().keys, 2U);
    try {
      rig.index();
    } catch (const pg::SqlError& error) {
      return error.sqlstate();
    }
    EXPECT_EQ(wrong_rows(owner, rig), 0);
    return kSuccess;
  }
};

TEST_F(KeyOfManyForms, IsRefreshedWhateverFormIsDirty) {
  EXPECT_EQ(wrong_rows_after_one_form_was_refreshed(), 0);

  const RuleOff off("any_form");
  EXPECT_EQ(wrong_rows_after_one_form_was_refreshed(), 1);
}

TEST_F(KeyOfManyForms, LosesNoRowWhereABatchIsSkipped) {
  EXPECT_EQ(wrong_rows_after_a_batch_was_skipped(), 0);

  const RuleOff off("any_form");
  EXPECT_EQ(wrong_rows_after_a_batch_was_skipped(), 1);
}

TEST_F(KeyOfManyForms, IsFoundWhereItsTextGivesOtherBytes) {
  EXPECT_EQ(wrong_rows_after_a_nan_changed(false), 0);

  const RuleOff off("any_form");
  EXPECT_EQ(wrong_rows_after_a_nan_changed(false), 1);
}

TEST_F(KeyOfManyForms, IsFoundAfterSettlingWhereItsTextGivesOtherBytes) {
  EXPECT_EQ(wrong_rows_after_a_nan_changed(true), 0);

  const RuleOff off("any_form");
  EXPECT_EQ(wrong_rows_after_a_nan_changed(true), 1);
}

TEST_F(KeyOfManyForms, StandsOnceAfterSettlingWhereItsFormChanged) {
  EXPECT_EQ(index_after_the_form_changed(), kSuccess);

  const RuleOff off("any_form");
  EXPECT_EQ(index_after_the_form_changed(), pg::sqlstate::kUniqueViolation);
}

// A batch with the one form took off again what an earlier batch had put in
// for the other.
TEST_F(KeyOfManyForms, LosesNoRowInALooseRoundOfBothForms) {
  Session owner = session();
  make_table(owner, "k numeric PRIMARY KEY, v int");
  owner.exec("INSERT INTO t VALUES (5.0, 1)");
  Rig rig(database(), "ALTER TABLE t ALTER COLUMN v TYPE bigint;");
  rig.build();
  owner.exec("UPDATE t SET k = 5.00");
  owner.exec("UPDATE t SET k = 5.0");
  ASSERT_TRUE(eventually(
      [&] { return rig.is_dirty(0, {"5.0"}) && rig.is_dirty(0, {"5.00"}); }));

  rig.loose(1, false);

  EXPECT_EQ(wrong_rows(owner, rig), 0);
}

}  // namespace
}  // namespace pgrecast::test
