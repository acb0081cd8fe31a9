#include "by_hand_fixture.h"

// CREATE TABLE t (..), with the name of a table that there is, names its whole
// new shape.
namespace pgrecast::plan {
namespace {

using testing::Contains;
using testing::HasSubstr;

class NewShapeTest : public ByHand {
 protected:
  // `before` and `after` are the script's, around the CREATE TABLE.
  void same_shape(const std::string& before, const std::string& create,
                  const std::string& after = "") {
    SCOPED_TRACE(before + create + after);
    const Outcome hand =
        by_hand(kManyTypes, before + new_table_by_hand(create) + ";" + after);
    ASSERT_EQ(hand.failed, "") << "this cannot be done by hand";
    const Outcome folded =
        folded_into_shadows(kManyTypes, before + create + ";" + after);
    ASSERT_EQ(folded.refused + folded.failed, "");
    compare();
    clear();
  }

  void refused(const std::string& setup, const std::string& script,
               const std::string& words) {
    refuses(setup, script, words);
    clear();
  }

  std::string value(const std::string& query) {
    return session().query_value(fmt::format(
        fmt::runtime(query),
        pg::quote_literal(made_plan().targets.at(0).shadow.quoted()) +
            "::regclass"));
  }
};

TEST_F(NewShapeTest, ColumnsGoOnUnderTheirNamesInTheNewOrder) {
  same_shape("",
             "CREATE TABLE t (s text, note text NOT NULL DEFAULT 'none', "
             "id bigint PRIMARY KEY, n numeric(12,1), tz timestamp, "
             "v varchar(20), u uuid UNIQUE)");
  same_shape("",
             "CREATE TABLE t (u uuid, made uuid DEFAULT gen_random_uuid(), "
             "number int GENERATED ALWAYS AS IDENTITY, id int, b numeric, "
             "i text GENERATED ALWAYS AS (upper(id::text)) STORED, g int, "
             "CONSTRAINT positive CHECK (b > 0), CONSTRAINT tk PRIMARY KEY (id)"
             " INCLUDE (b)) WITH (fillfactor = 40)");
  same_shape(
      "SET TIME ZONE 'Asia/Tokyo'; UPDATE t SET s = 'x' WHERE i = 1; ALTER "
      "TABLE t RENAME COLUMN ts TO at; ALTER TABLE t ADD k int DEFAULT 7;",
      "CREATE TABLE t (at timestamptz, k bigint, id int NOT NULL, s "
      "varchar(30), m mood, c text, \"A b\" date DEFAULT '2024-01-01')",
      "UPDATE t SET s = c || k WHERE s IS NULL; DELETE FROM t WHERE k > 7 OR "
      "id = 3; CREATE UNIQUE INDEX ON t (id); ALTER TABLE t DROP COLUMN k");
}

TEST_F(NewShapeTest, RefusesWhatCouldNotGoOn) {
  const char* const table =
      "CREATE TABLE t (id int PRIMARY KEY, k text COLLATE \"C\" NOT NULL, s "
      "text, n serial, UNIQUE (k)); INSERT INTO t VALUES (1, 'k', '7')";
  refused(table, "CREATE TABLE t (k text)", "belongs to the key, which must");
  refused(table, "CREATE TABLE t (id smallint PRIMARY KEY)",
          "not known to keep keys apart");
  refused(table, "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY)",
          "would get a new sequence, which begins at 1");
  // By hand, what is no assignment is an error; a cast would do it.
  refused(table, "CREATE TABLE t (id int PRIMARY KEY, s int)",
          "test.sql:1:1: column s cannot go on as integer: column \"s\" is of "
          "type integer but expression is of type text");
  refused(table,
          "CREATE TABLE t (id int PRIMARY KEY, s int); CREATE TABLE t (id int "
          "PRIMARY KEY)",
          "cannot go on as");
  refused(table, "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE t (id int)",
          "makes table t twice");
  // What is there is not what the server will compute.
  constexpr const char* kComputed =
      "CREATE TABLE t (id int PRIMARY KEY, s text, n int GENERATED ALWAYS AS "
      "(id * 7) STORED); ";
  for (const char* before :
       {table,
        "CREATE TABLE t (id int PRIMARY KEY, s text, n int GENERATED ALWAYS AS "
        "(id * 3) STORED); INSERT INTO t VALUES (1)"}) {
    refused(before, std::string(kComputed) + "UPDATE t SET s = n::text",
            "test.sql:1:106: the values of the generated column n are not "
            "known at this statement");
  }
  // By hand it goes with the table that it is on.
  refused(table,
          "CREATE INDEX early ON t (s); ALTER TABLE t ADD CONSTRAINT c CHECK "
          "(id > 0); CREATE TABLE t (id int PRIMARY KEY, s text)",
          "constraint c, index early, which the script has made, is gone");
  refused(
      table,
      "ALTER INDEX t_k_key RENAME TO k; CREATE TABLE t (id int PRIMARY KEY)",
      "index k, which the script has made, is gone with the old shape");
  const char* const counted =
      "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int)";
  for (const char* script :
       {"ALTER TABLE t ALTER n SET DEFAULT nextval('t_id_seq')",
        "CREATE TABLE t (id bigint PRIMARY KEY DEFAULT nextval('t_id_seq'))"}) {
    refused(counted, script,
            "draws from src.t_id_seq, the sequence of the identity of column "
            "id, which stays with the old table");
  }
  refused(table,
          "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE p PARTITION OF t "
          "DEFAULT",
          "is not partitioned");
  refused(
      std::string(table) +
          "; ALTER TABLE t REPLICA IDENTITY USING INDEX t_k_key",
      "CREATE TABLE t (id int, k text COLLATE \"de-x-icu\" NOT NULL UNIQUE)",
      "its collation changes");
  refused(std::string(table) +
              "; DO $$ BEGIN IF current_schema = 'src' THEN EXECUTE 'CREATE "
              "PUBLICATION outside FOR TABLE t'; END IF; END $$",
          "CREATE TABLE t (id int NOT NULL UNIQUE)",
          "publication outside publishes the table, and the new one has no "
          "primary key");
}

TEST_F(NewShapeTest, TheReplicaIdentityGoesOn) {
  const char* const shape =
      "CREATE TABLE t (k int NOT NULL UNIQUE, id int PRIMARY KEY)";
  const char* const table =
      "CREATE TABLE t (id int PRIMARY KEY, k int NOT NULL UNIQUE);"
      "ALTER TABLE t REPLICA IDENTITY ";
  EXPECT_EQ(folded_into_shadows(std::string(table) + "FULL", shape).refused,
            "");
  EXPECT_EQ(value("SELECT relreplident FROM pg_class WHERE oid = {}"), "f");
  clear();
  EXPECT_EQ(
      folded_into_shadows(std::string(table) + "USING INDEX t_k_key", shape)
          .refused,
      "");
  EXPECT_EQ(value("SELECT indexrelid::regclass = "
                  "'\"pgrecast_The \"\"m\"\"\".t_k_key'::regclass FROM "
                  "pg_index WHERE indisreplident AND indrelid = {}"),
            "t");
  clear();
  EXPECT_EQ(
      folded_into_shadows(std::string(table) + "USING INDEX t_k_key",
                          "CREATE TABLE t (id int PRIMARY KEY, k int NOT NULL)")
          .refused,
      "");
  EXPECT_EQ(value("SELECT relreplident FROM pg_class WHERE oid = {}"), "d");
  EXPECT_THAT(made_plan().targets[0].changes,
              Contains("replica identity no longer by index t_k_key"));
}

TEST_F(NewShapeTest, ThePlanTellsWhatIsLeftOut) {
  make_tables(
      "src",
      "CREATE TABLE t (id int PRIMARY KEY, a int CHECK (a > 0), b text)"
      " WITH (fillfactor = 50); CREATE INDEX t_a_idx ON t (a); ALTER "
      "TABLE t ALTER a SET STATISTICS 500, ALTER b SET STORAGE "
      "EXTERNAL, ALTER a SET (n_distinct = 5); COMMENT ON COLUMN t.b IS "
      "'stays'; COMMENT ON TABLE t IS 'stays, too'");

  plan_ = plan_of("CREATE TABLE t (b text, id int PRIMARY KEY, a int)");

  for (const char* line :
       {"the shape that CREATE TABLE names", "index t_a_idx dropped",
        "constraint t_a_check dropped",
        "storage parameter fillfactor=50 "
        "dropped",
        "column a: statistics target dropped",
        "column a: options {n_distinct=5} dropped",
        "column b: its storage dropped"}) {
    EXPECT_THAT(made_plan().targets[0].changes, Contains(line));
  }
}

}  // namespace
}  // namespace pgrecast::plan
