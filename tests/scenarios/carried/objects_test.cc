// Comments, grants, statistics and names that a script changes win over what
// the old table has; the rest of it goes along. As the same script does it by
// hand.

#include "scenarios/carried/operation.h"

#include <fmt/format.h>

namespace pgrecast::test {
namespace {

class ObjectsTest : public Operation {
 protected:
  ObjectsTest() {
    Session owner = session();
    for (const char* schema : {"live", "hand"}) {
      owner.exec(
          fmt::format("CREATE SCHEMA {0}; SET search_path = {0}", schema));
      owner.exec(R"sql(
CREATE TABLE t (id int PRIMARY KEY, a int, b int, c int, note text DEFAULT 'n',
                CONSTRAINT positive CHECK (a > 0));
CREATE INDEX t_a ON t (a);
CREATE INDEX t_b ON t (b);
CREATE STATISTICS kept (ndistinct) ON a, b FROM t;
CREATE STATISTICS again (ndistinct) ON a, c FROM t;
CREATE STATISTICS gone ON b, c FROM t;
ALTER STATISTICS again SET STATISTICS 7;
COMMENT ON STATISTICS again IS 'old';
COMMENT ON TABLE t IS 'old';
COMMENT ON COLUMN t.a IS 'old a';
COMMENT ON COLUMN t.b IS 'old b';
COMMENT ON CONSTRAINT positive ON t IS 'old positive';
COMMENT ON INDEX t_a IS 'old index';
GRANT SELECT, INSERT, DELETE ON t TO pg_monitor;
GRANT SELECT ON t TO pg_read_all_stats WITH GRANT OPTION;
GRANT UPDATE (a, b) ON t TO pg_read_all_stats;
GRANT REFERENCES ON t TO PUBLIC;
INSERT INTO t SELECT g, g, g % 7, g, 'n' FROM generate_series(1, 500) g)sql");
    }
  }

  // Of everything that the script below touches, and what it leaves alone.
  Rows facts(const std::string& schema) {
    Session owner = session();
    owner.exec("SET search_path = " + schema);
    Rows all = owner.query_rows(R"sql(
SELECT 'comment', objsubid::text, description FROM pg_description
  WHERE classoid = 'pg_class'::regclass AND objoid = 't'::regclass
UNION ALL SELECT 'constraint ' || conname, pg_get_constraintdef(oid),
  obj_description(oid, 'pg_constraint') FROM pg_constraint
  WHERE conrelid = 't'::regclass
UNION ALL SELECT 'index ' || indexrelid::regclass,
  replace(pg_get_indexdef(indexrelid), $1 || '.', ''),
  obj_description(indexrelid, 'pg_class') FROM pg_index
  WHERE indrelid = 't'::regclass
UNION ALL SELECT 'statistics ' || stxname || COALESCE(stxstattarget, -1),
  replace(pg_get_statisticsobjdef(oid), $1 || '.', ''),
  obj_description(oid, 'pg_statistic_ext') FROM pg_statistic_ext
  WHERE stxrelid = 't'::regclass
UNION ALL SELECT 'grant', '', a::text FROM pg_class c, aclexplode(relacl) a
  WHERE c.oid = 't'::regclass
UNION ALL SELECT 'grant', attname, a::text FROM pg_attribute c,
  aclexplode(attacl) a WHERE attrelid = 't'::regclass
UNION ALL SELECT 'column ' || attnum, attname, format_type(atttypid, atttypmod)
  FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0
    AND NOT attisdropped
ORDER BY 1, 2, 3)sql",
                                schema);
    return all;
  }
};

constexpr const char* kScript = R"sql(
ALTER TABLE {0}.t ALTER COLUMN id TYPE bigint;
COMMENT ON TABLE {0}.t IS 'it''s new';
COMMENT ON COLUMN {0}.t.a IS NULL;
GRANT SELECT (a), INSERT (note) ON {0}.t TO pg_monitor;
ALTER TABLE {0}.t RENAME COLUMN a TO "A a";
COMMENT ON COLUMN {0}.t."A a" IS $x$new $$ a$x$;
COMMENT ON CONSTRAINT positive ON {0}.t IS NULL;
ALTER TABLE {0}.t RENAME CONSTRAINT positive TO above;
ALTER TABLE {0}.t ADD CONSTRAINT late CHECK (b >= 0) NOT VALID;
COMMENT ON CONSTRAINT late ON {0}.t IS 'not valid';
ALTER INDEX {0}.t_a RENAME TO t_c;
COMMENT ON INDEX {0}.t_c IS 'new index';
ALTER INDEX {0}.t_b SET (fillfactor = 55);
ALTER INDEX {0}.t_pkey RENAME TO "T key";
DROP STATISTICS {0}.gone, {0}.again;
CREATE STATISTICS {0}.again (mcv) ON "A a", c FROM {0}.t;
COMMENT ON STATISTICS {0}.again IS 'new';
CREATE STATISTICS {0}.fresh ON b, (c + 1) FROM {0}.t;
REVOKE DELETE ON {0}.t FROM pg_monitor;
REVOKE GRANT OPTION FOR SELECT ON {0}.t FROM pg_read_all_stats;
REVOKE UPDATE ("A a") ON {0}.t FROM pg_read_all_stats;
REVOKE REFERENCES ON {0}.t FROM PUBLIC;
GRANT TRUNCATE ON {0}.t TO PUBLIC;
GRANT UPDATE ON {0}.t TO pg_monitor WITH GRANT OPTION;
)sql";

std::string script(const std::string& schema) {
  return fmt::format(fmt::runtime(kScript), schema);
}

TEST_F(ObjectsTest, WhatTheScriptSaysWinsAndTheRestGoesAlong) {
  session().exec(script("hand"));
  const Rows by_hand = facts("hand");
  ASSERT_NE(by_hand, facts("live"));

  migrate("objects", script("live"));

  EXPECT_EQ(facts("live"), by_hand);
  command("finish", "objects");
  EXPECT_EQ(facts("live"), by_hand);
}

// GRANT takes no lock on the table, so that anybody's may come at any time.
TEST_F(ObjectsTest, GrantsOfOthersMeanwhileGoAlong) {
  Program run = start("objects", script("live"), {"--cutover", "manual"});
  run.wait_for_output("phase changed.*phase=ready");
  for (const char* schema : {"live", "hand"}) {
    session().exec(fmt::format(
        "GRANT TRIGGER ON {0}.t TO pg_monitor; GRANT UPDATE (c) ON {0}.t TO "
        "PUBLIC; REVOKE INSERT ON {0}.t FROM pg_monitor",
        schema));
  }
  session().exec(script("hand"));

  command("cutover", "objects");

  EXPECT_EQ(run.wait(), 0) << run.output();
  EXPECT_EQ(facts("live"), facts("hand"));
}

// Who was granted a right may have passed it on: those grants are his, also on
// the new table, and go with his own where the script takes it away.
TEST_F(ObjectsTest, RightsThatWerePassedOnFollowTheirGrantor) {
  superuser_session().exec(fmt::format(
      "CREATE ROLE passer; CREATE ROLE keeper; GRANT passer, keeper TO \"{}\"",
      database().role()));
  for (const char* schema : {"live", "hand"}) {
    session().exec(fmt::format(
        "GRANT USAGE ON SCHEMA {0} TO passer, keeper;"
        "GRANT SELECT, INSERT ON {0}.t TO passer, keeper WITH GRANT OPTION;"
        "SET ROLE passer; GRANT SELECT, INSERT ON {0}.t TO pg_signal_backend;"
        "SET ROLE keeper; GRANT INSERT ON {0}.t TO pg_signal_backend;"
        "GRANT SELECT ON {0}.t TO PUBLIC",
        schema));
  }
  constexpr const char* kChain =
      "ALTER TABLE {0}.t ALTER COLUMN id TYPE bigint;"
      "REVOKE SELECT, INSERT ON {0}.t FROM passer CASCADE;"
      "REVOKE SELECT ON {0}.t FROM PUBLIC;"
      "GRANT DELETE ON {0}.t TO keeper WITH GRANT OPTION";
  std::string said;
  EXPECT_EQ(plan("restricted",
                 "ALTER TABLE live.t ADD x int; REVOKE SELECT ON live.t FROM "
                 "passer",
                 &said),
            3);
  EXPECT_NE(said.find("dependent privileges exist"), std::string::npos) << said;
  session().exec(fmt::format(fmt::runtime(kChain), "hand"));

  migrate("chain", fmt::format(fmt::runtime(kChain), "live"));

  EXPECT_EQ(facts("live"), facts("hand"));
  command("finish", "chain");
  superuser_session().exec(
      "DROP OWNED BY passer, keeper; DROP ROLE passer, keeper");
}

}  // namespace
}  // namespace pgrecast::test
