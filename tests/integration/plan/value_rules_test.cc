#include "by_hand_fixture.h"

namespace pgrecast::plan {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class ValueRulesTest : public ByHand {
 protected:
  // Of the first shadow.
  std::string value(const std::string& expression) {
    test::Session reader = session();
    reader.exec("SET timezone = 'America/New_York'");
    return reader.query_value(
        fmt::format("SELECT DISTINCT {} FROM {}", expression,
                    made_plan().targets.at(0).shadow.quoted()));
  }

  void folds(const std::string& setup, const std::string& script) {
    const Outcome outcome = folded_into_shadows(setup, script);
    EXPECT_EQ(outcome.refused + outcome.failed, "") << script;
  }

  void refused(const std::string& script, const std::string& words) {
    refuses(kManyTypes, script, words);
    clear();
  }
};

// Plan and run fold in transactions of their own, seconds apart.
TEST_F(ValueRulesTest, NowIsOneMomentForTheWholeMigration) {
  folds(kManyTypes,
        "ALTER TABLE t ADD nc timestamptz DEFAULT now() + interval '1 day',"
        "  ADD ne timestamp(0) DEFAULT LOCALTIMESTAMP(0),"
        "  ADD k date NOT NULL DEFAULT CURRENT_DATE;"
        "UPDATE t SET tz = now(), ts = pg_catalog.statement_timestamp( ),"
        "  d = CURRENT_DATE + 1, s = LOCALTIME(3)::text;"
        "UPDATE t SET v = left(CURRENT_USER, 5), b = extract(epoch FROM"
        "  CURRENT_TIMESTAMP(0))::bigint WHERE tz = transaction_timestamp()");

  const std::string now = "'" + made_plan().now + "'::timestamptz";
  EXPECT_EQ(value("tz = " + now), "t");
  EXPECT_EQ(value("ts = " + now + "::timestamp"), "t");
  EXPECT_EQ(value("d = " + now + "::date + 1"), "t");
  EXPECT_EQ(value("s = " + now + "::time(3)::text"), "t");
  EXPECT_EQ(value("nc = " + now + " + interval '1 day'"), "t");
  EXPECT_EQ(value("ne = " + now + "::timestamp(0)"), "t");
  EXPECT_EQ(value("k = " + now + "::date"), "t");
  EXPECT_EQ(
      value("b = extract(epoch FROM " + now + "::timestamptz(0))::bigint"),
      "t");
  EXPECT_EQ(value("v = left('" + database().role() + "', 5)"), "t");
  EXPECT_THAT(made_plan().notes, Contains(HasSubstr(made_plan().now)));
}

TEST_F(ValueRulesTest, ANowOfSomebodysOwnIsNotOurs) {
  session().exec(
      "CREATE FUNCTION public.now() RETURNS timestamptz STABLE LANGUAGE sql "
      "RETURN '2001-01-01 12:00+00'::timestamptz + interval '1 day' * "
      "pg_backend_pid()");
  refused("SET search_path = src, public, pg_catalog; UPDATE t SET tz = now()",
          "public.now() is stable");
}

TEST_F(ValueRulesTest, WhatDependsOnTheSettingsAlonePasses) {
  session().exec("CREATE DOMAIN public.times AS timestamptz[]");
  for (const char* script : {
           "UPDATE t SET s = concat(i, '-', tz, m, a), v = NULL",
           "UPDATE t SET s = 'x' || i || tz || coalesce(a::text, 'none')",
           "UPDATE t SET s = concat_ws(',', d, iv, ts, p, bo)",
           "UPDATE t SET jb = jsonb_build_object('tz', tz, 'a', a, 'n', n)",
           "UPDATE t SET s = format('%s of %L', d, iv), jb = to_jsonb(tz)",
           "UPDATE t SET s = array_to_string(ARRAY[tz, NULL], ';', '-')",
           "UPDATE t SET s = ARRAY[tz]::public.times::text",
           "UPDATE t SET s = tstzrange(tz, tz + interval '1 day')::text",
           "UPDATE t SET s = to_char(tz, 'YYYY \"now(\" TMMonth'), d = "
           "date_trunc('month', tz)::date",
           "UPDATE t SET ts = to_timestamp(d::text, 'DD/MM/YYYY'), i = "
           "date_part('hour', tz)",
           "DELETE FROM t WHERE tz < '2024-03-11'::date - interval '1 hour' OR "
           "tz - interval '1 month' > ts",
           "ALTER TABLE t ALTER tz TYPE text USING (tz + interval '1 "
           "day')::text",
           "UPDATE t SET s = CASE WHEN tz > ts THEN m::text ELSE greatest(d, "
           "tz::date)::text END",
       }) {
    same(kManyTypes, script);
    clear();
  }
}

TEST_F(ValueRulesTest, DateWordsAreRefusedButAsTexts) {
  const char* words = "differ each time they are evaluated";
  refused("UPDATE t SET tz = 'today 10:00'", words);
  refused("UPDATE t SET i = 1 WHERE tz < 'now'", words);
  refused("UPDATE t SET s = upper('now')", words);
  same(kManyTypes, "UPDATE t SET s = 'call now'");
}

// A cast would cut them off without a word.
TEST_F(ValueRulesTest, NothingIsCutOffWithinAValue) {
  fails_alike(
      "CREATE TABLE t (id int PRIMARY KEY, v varchar(10)[]);"
      "INSERT INTO t VALUES (1, '{abcd}')",
      "ALTER TABLE t ALTER v TYPE varchar(3)[]");
  clear();
  same(
      "CREATE TABLE t (id int PRIMARY KEY, v text[]);"
      "INSERT INTO t VALUES (1, '{{abc,NULL},{\"d  \",e}}'), (2, NULL)",
      "ALTER TABLE t ALTER v TYPE varchar(3)[]");
  clear();
  session().exec(
      "CREATE TYPE public.pair AS (x int, y varchar(3)); CREATE DOMAIN "
      "public.cut AS varchar(3)");
  refuses("CREATE TABLE t (id int PRIMARY KEY, p public.pair, s text)",
          "UPDATE t SET p = ROW(1, s)", "parts of a limited length");
  clear();
  refuses("CREATE TABLE t (id int PRIMARY KEY, p public.cut[], s text)",
          "UPDATE t SET p = ARRAY[s]", "parts of a limited length");
}

// Names cannot pass for something else in what the server stores.
TEST_F(ValueRulesTest, HostileNamesChangeNothing) {
  same(
      "CREATE TABLE t (id int PRIMARY KEY, \":funcid 1598\" timestamptz,"
      " \"} {FUNCEXPR :funcid 1598 :args <>\" text);"
      "INSERT INTO t VALUES (1, '2024-01-01 12:00+00', 'x')",
      "UPDATE t SET \"} {FUNCEXPR :funcid 1598 :args <>\" = concat(\":funcid "
      "1598\", \"} {FUNCEXPR :funcid 1598 :args <>\")");
}

TEST_F(ValueRulesTest, WhatIsVolatileIsRefusedByName) {
  session().exec(
      "CREATE SEQUENCE public.numbers; CREATE FUNCTION public.f(int) RETURNS "
      "int LANGUAGE sql AS 'SELECT $1'; CREATE FUNCTION public.g(int) RETURNS "
      "int STABLE LANGUAGE plpgsql AS 'BEGIN RETURN $1; END'; CREATE FUNCTION "
      "public.plus(int, int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN $1 "
      "+ $2; END'; CREATE OPERATOR public.#+# (LEFTARG = int, RIGHTARG = int, "
      "FUNCTION = public.plus)");
  refused("UPDATE t SET f = i + random()",
          "test.sql:1:22: random() is volatile");
  refused("UPDATE t SET u = gen_random_uuid()",
          "gen_random_uuid() is volatile");
  refused("UPDATE t SET tz = clock_timestamp()",
          "clock_timestamp() is volatile");
  refused("UPDATE t SET i = nextval('public.numbers')",
          "nextval(regclass) is volatile");
  refused("UPDATE t SET i = public.g(i)", "public.g(integer) is stable");
  refused("DELETE FROM t WHERE i = 1 OR i OPERATOR(public.#+#) 2 > 0",
          "public.plus(integer,integer) is volatile");
  refused("ALTER TABLE t ALTER s TYPE timestamptz USING s::timestamptz",
          "timestamptz_in(cstring,oid,integer), which is stable");
  refused("UPDATE t SET s = concat(i::oid::regclass)",
          "writing as a text regclass uses regclassout(regclass)");
  refused("UPDATE t SET s = i::oid::regclass || 'x'", "regclassout(regclass)");
  refused("UPDATE t SET m = CASE WHEN bo THEN 'ok' ELSE 'sad' END::mood",
          "cast the constants themselves");
  refused("UPDATE t SET iv = age(tz)", "age(timestamp with time zone)");
  refused("UPDATE t SET s = (tz::time)::timetz::text",
          "timetz(time without time zone) is stable");
  refused("UPDATE t SET s = ROW(i, tz)::text", "record_out(record)");
  refused("UPDATE t SET s = pg_backend_pid()", "pg_backend_pid() is stable");
  // Inlined by the server, which sees then that it is harmless.
  same(kManyTypes, "UPDATE t SET s = 'x' || i");
}

TEST_F(ValueRulesTest, WhatIsNoValueOfTheRowIsRefusedByName) {
  for (const auto& [script, words] :
       std::initializer_list<std::pair<const char*, const char*>>{
           {"UPDATE t SET f = i + pg_catalog.sum(b)",
            "test.sql:1:22: sum is an aggregate function, which reads other "
            "rows"},
           {"DELETE FROM t WHERE s < string_agg(v, ',')",
            "test.sql:1:25: string_agg is an aggregate function"},
           {"UPDATE t SET i = coalesce(unnest(a), 3)",
            "test.sql:1:27: unnest returns a set of values, and a row takes "
            "one"},
           {"ALTER TABLE t DROP g, ALTER i TYPE bigint USING "
            "generate_series(1, i)",
            "test.sql:1:49: generate_series returns a set of values"},
       }) {
    refused(script, words);
  }
}

TEST_F(ValueRulesTest, TheOperatorCanVouchForAFunction) {
  session().exec(
      "CREATE FUNCTION public.f(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN "
      "RETURN $1 + 1; END'; CREATE FUNCTION public.f(bigint) RETURNS int "
      "LANGUAGE plpgsql AS 'BEGIN RETURN 7; END';"
      "CREATE FUNCTION public.\"G h\"(int) RETURNS int STABLE LANGUAGE plpgsql "
      "AS 'BEGIN RETURN $1; END'");
  const char* const script = "UPDATE t SET i = f(i) + \"G h\"(3)";
  assume_immutable_ = {"public.f(integer)"};
  refused(script, "public.\"G h\"(integer) is stable");
  assume_immutable_ = {"f"};
  refused(script, "--assume-immutable f: there is no such function, or more");
  assume_immutable_ = {"nothing(", "f(int)"};
  refused(script, "--assume-immutable nothing(: there is no such function");
  assume_immutable_ = {"random()"};
  refused(script,
          "--assume-immutable random(): this is volatile by its nature");

  assume_immutable_ = {"f(int)", "\"G h\"", "timestamptz_in"};
  same(kManyTypes, script);

  EXPECT_THAT(made_plan().warnings,
              Contains(HasSubstr("public.f(integer) passes as immutable")));
  EXPECT_THAT(made_plan().warnings, Not(Contains(HasSubstr("timestamptz_in"))));
  clear();
  same(
      "CREATE TABLE t (id int PRIMARY KEY, s text); INSERT INTO t VALUES (1, "
      "'2024-01-01 12:00')",
      "ALTER TABLE t ALTER s TYPE timestamptz USING s::timestamptz");
}

TEST_F(ValueRulesTest, AVolatileDefaultIsMadeForEachRowAndSaidSo) {
  session().exec(
      "CREATE SEQUENCE public.numbers; CREATE FUNCTION public.draw() RETURNS "
      "float8 LANGUAGE plpgsql AS 'BEGIN RETURN random(); END'; CREATE DOMAIN "
      "public.drawn AS float8 DEFAULT public.draw();"
      "CREATE FUNCTION public.plus(float8, int) RETURNS float8 LANGUAGE plpgsql"
      " AS 'BEGIN RETURN random(); END'; CREATE OPERATOR public.#+# (LEFTARG = "
      "float8, RIGHTARG = int, FUNCTION = public.plus)");
  const char* const script =
      "ALTER TABLE t ADD a1 uuid DEFAULT gen_random_uuid(),"
      " ADD a2 text DEFAULT md5(random()::text), ADD a3 public.drawn,"
      " ADD a4 bigint DEFAULT nextval('public.numbers'), ADD a5 serial,"
      " ADD a6 int GENERATED ALWAYS AS IDENTITY,"
      " ADD a7 float8 DEFAULT 1.0::float8 OPERATOR(public.#+#) 2";

  same(kManyTypes, script);  // as many values as rows, by hand and here

  const auto& compared =
      made_plan().targets.at(0).select.parts().compare_columns;
  for (const char* column : {"a1", "a2", "a3", "a4", "a5", "a6", "a7"}) {
    EXPECT_THAT(compared, Not(Contains(column)));
    EXPECT_THAT(made_plan().notes,
                Contains(HasSubstr(fmt::format("src.t.{}: ", column))));
  }
}

TEST_F(ValueRulesTest, AStableDefaultIsMadeOnce) {
  session().exec(
      "CREATE FUNCTION public.pid() RETURNS int STABLE LANGUAGE plpgsql AS "
      "'BEGIN RETURN 42; END'");
  // What looks like a call of random() is none.
  same(kManyTypes,
       "ALTER TABLE t ADD b1 int DEFAULT public.pid(),"
       " ADD b2 text DEFAULT to_char('2024-01-01 12:00'::timestamptz, "
       "'\"random()\"YYYY'), ADD b3 text DEFAULT 'random()',"
       " ADD b4 timestamptz DEFAULT '2024-01-01 12:00'");

  const auto& compared =
      made_plan().targets.at(0).select.parts().compare_columns;
  for (const char* column : {"b1", "b2", "b3", "b4"}) {
    EXPECT_THAT(compared, Contains(column));
  }
  EXPECT_THAT(made_plan().notes, IsEmpty());
}

}  // namespace
}  // namespace pgrecast::plan
