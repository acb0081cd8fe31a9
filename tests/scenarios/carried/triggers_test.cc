// Triggers go along, and none fires for what pgrecast writes.

#include "scenarios/carried/operation.h"
#include "scenarios/carried/writers.h"

#include <fmt/format.h>

namespace pgrecast::test {
namespace {

constexpr const char* kTable = R"sql(
CREATE TABLE t (id int PRIMARY KEY, v int, w text);
INSERT INTO t SELECT g, g, 'w' FROM generate_series(1, 3000) g;
CREATE TABLE log (session text, what text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO public.log VALUES (current_setting('application_name'),
                                 TG_NAME || ' ' || TG_OP);
  RETURN NULL;
END $$;
CREATE TRIGGER a_row AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW
  EXECUTE FUNCTION note();
CREATE TRIGGER a_statement BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON t
  EXECUTE FUNCTION note();
CREATE TRIGGER fresh AFTER UPDATE ON t REFERENCING OLD TABLE AS o
  NEW TABLE AS n EXECUTE FUNCTION note();
CREATE TRIGGER of_v AFTER UPDATE OF v, w ON t FOR EACH ROW
  WHEN (OLD.v IS DISTINCT FROM NEW.v) EXECUTE FUNCTION note();
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER off AFTER UPDATE ON t EXECUTE FUNCTION note();
CREATE TRIGGER replica AFTER UPDATE ON t EXECUTE FUNCTION note();
ALTER TABLE t ENABLE ALWAYS TRIGGER a_row, ENABLE ALWAYS TRIGGER a_statement,
  DISABLE TRIGGER off, ENABLE REPLICA TRIGGER replica;
COMMENT ON TRIGGER late ON t IS 'at the end')sql";

class TriggersTest : public Operation {
 protected:
  Rows triggers() {
    Session reader = session();
    return triggers(reader);
  }
  static Rows triggers(Session& reader) {
    return reader.query_rows(
        "SELECT pg_get_triggerdef(oid), tgenabled, tgdeferrable, "
        "tginitdeferred, obj_description(oid, 'pg_trigger') FROM pg_trigger "
        "WHERE tgrelid = 't'::regclass ORDER BY tgname");
  }
};

TEST_F(TriggersTest, TheyGoAlongAndNoneFiresForOurOwnWrites) {
  session().exec(kTable);
  const Rows before = triggers();
  Writers writers(dsn());
  writers.add(3, [](Session& session, std::mt19937& random) {
    const auto id = static_cast<int>(random() % 4000) + 1;
    session.exec(
        "INSERT INTO t VALUES ($1, 0) ON CONFLICT (id) DO UPDATE SET v = t.v + "
        "1",
        id);
    if (id % 5 == 0) session.exec("DELETE FROM t WHERE id = $1", id);
  });
  ASSERT_TRUE(writers.go_on(50));

  migrate("wide", "ALTER TABLE t ALTER COLUMN id TYPE bigint");

  EXPECT_TRUE(writers.go_on(50));
  writers.stop();
  EXPECT_TRUE(writers.refused().empty());
  EXPECT_EQ(triggers(), before);
  Session owner = session();
  EXPECT_EQ(owner.query_value(
                "SELECT count(*) FROM log WHERE session LIKE 'pgrecast%'"),
            "0");
  EXPECT_NE(owner.query_value("SELECT count(*) FROM log"), "0");
  owner.exec("TRUNCATE log");
  owner.exec("INSERT INTO t VALUES (9001, 1)");
  owner.exec("TRUNCATE t");
  EXPECT_EQ(owner.query_value("SELECT string_agg(DISTINCT what, ', ' ORDER BY "
                              "what) FROM log WHERE what LIKE '%INSERT' OR "
                              "what LIKE '%TRUNCATE'"),
            "a_row INSERT, a_statement INSERT, a_statement TRUNCATE, late "
            "INSERT");
}

TEST_F(TriggersTest, FollowARenamedColumn) {
  session().exec(kTable);
  Session by_hand = session();
  by_hand.exec("BEGIN; ALTER TABLE t RENAME COLUMN v TO value");
  const Rows renamed = triggers(by_hand);
  by_hand.exec("ROLLBACK");

  migrate("renamed", "ALTER TABLE t RENAME COLUMN v TO value");

  EXPECT_EQ(triggers(), renamed);
}

}  // namespace
}  // namespace pgrecast::test
