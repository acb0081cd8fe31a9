#pragma once

#include "pgrecast/catalog/settings.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/pg/quote.h"
#include "pgrecast/plan/plan.h"
#include "pgrecast/plan/rejected_rows.h"
#include "pgrecast/script/script.h"

#include "support/manual.h"
#include "support/test_database.h"

#include <gmock/gmock.h>
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pgrecast::plan {

// The same tables twice: in schema src, where a script is folded into shadows
// and their SELECT lists, and in schema by_hand, where the server runs the very
// script. Both must come to the same. Types are shared, in public. The settings
// that decide conversions are unusual on purpose, and set on the database.
class ByHand : public test::TestDatabase {
 public:
  // What became of a script: nothing said, or what was said against it.
  struct Outcome {
    std::string refused;  // by the plan
    std::string failed;   // by the server, with SQLSTATE
    bool fine() const { return refused.empty() && failed.empty(); }
  };

  ByHand() {
    admin_.exec(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = "
        "''America/New_York''; ALTER DATABASE %1$I SET datestyle = ''SQL, "
        "DMY''; ALTER DATABASE %1$I SET search_path = src, public', "
        "current_database()); END $$");
    connection_ = std::make_unique<pg::Connection>(
        pg::Connection::open({.conninfo = dsn(), .application = "pgrecast"},
                             "fold", std::stop_token()));
    session().exec(R"sql(
CREATE SCHEMA src; CREATE SCHEMA by_hand;
CREATE TYPE public.mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN public.short AS varchar(5) DEFAULT 'none' CHECK (VALUE <> 'bad'))sql");
  }

  // Makes the tables and runs the script on both; true results are compared.
  // `setup` names its tables without a schema.
  void same(const std::string& setup, const std::string& script) {
    SCOPED_TRACE("script: " + script);
    const Outcome hand = by_hand(setup, script);
    ASSERT_EQ(hand.failed, "") << "this cannot be done by hand";
    const Outcome folded = folded_into_shadows(setup, script);
    ASSERT_EQ(folded.refused, "");
    ASSERT_EQ(folded.failed, "");
    compare();
  }

  // By hand the server refuses it; so it must for us, for the same reason.
  void fails_alike(const std::string& setup, const std::string& script) {
    SCOPED_TRACE("script: " + script);
    const Outcome hand = by_hand(setup, script);
    ASSERT_NE(hand.failed, "") << "this can be done by hand";
    const Outcome folded = folded_into_shadows(setup, script);
    EXPECT_THAT(folded.refused + folded.failed,
                testing::HasSubstr(hand.failed.substr(0, 5)));
  }

  // The plan refuses, with these words and a remedy.
  void refuses(const std::string& setup, const std::string& script,
               const std::string& words) {
    SCOPED_TRACE("script: " + script);
    make_tables("src", setup);
    try {
      plan_of(script);
      ADD_FAILURE() << "the plan accepts it";
    } catch (const Refused& refused) {
      EXPECT_THAT(refused.what(), testing::HasSubstr(words));
      for (const Refusal& refusal : refused.refusals()) {
        EXPECT_NE(refusal.remedy, "");
        EXPECT_TRUE(test::is_in_manual(refusal.what))
            << "docs/reference/plan.md does not list: " << refusal.what;
      }
    }
  }

  Outcome by_hand(const std::string& setup, const std::string& script) {
    make_tables("by_hand", setup);
    test::Session session = this->session();
    session.exec("SET search_path = by_hand, public");
    Outcome outcome;
    try {
      session.exec(script);
    } catch (const test::SqlFailure& failure) {
      outcome.failed = failure.what();
    }
    return outcome;
  }

  // What CREATE TABLE t (..) stands for, by hand: a new table that takes the
  // place of t, and its rows by the columns' names.
  static std::string new_table_by_hand(const std::string& create) {
    return "CREATE TEMP TABLE kept AS SELECT * FROM t; DROP TABLE t;" + create +
           R"sql(;
DO $do$ DECLARE names text; BEGIN
  SELECT string_agg(quote_ident(n.attname), ', ') INTO names
  FROM pg_attribute n JOIN pg_attribute o USING (attname)
  WHERE n.attrelid = 't'::regclass AND o.attrelid = 'kept'::regclass
    AND n.attnum > 0 AND NOT n.attisdropped AND n.attgenerated = '';
  EXECUTE format(
    'INSERT INTO t (%1$s) OVERRIDING SYSTEM VALUE SELECT %1$s FROM kept', names);
END $do$; DROP TABLE kept)sql";
  }

  Outcome folded_into_shadows(const std::string& setup,
                              const std::string& script) {
    make_tables("src", setup);
    Outcome outcome;
    try {
      const script::Script parsed = script::Script::parse(script, "test.sql");
      plan_ = plan_of(script);
      pg::Transaction transaction(*connection_);
      build_shadows(*connection_, parsed, plan_);
      transaction.commit();
      fill_shadows();
    } catch (const Refused& refused) {
      outcome.refused = refused.what();
    } catch (const DataRejected& rejected) {
      outcome.failed = rejected.what();
    } catch (const pg::SqlError& error) {
      outcome.failed = error.sqlstate() + ": " + error.what();
    }
    return outcome;
  }

  // Of the shadows and the tables by hand.
  void compare() {
    for (const TableTarget& target : plan_.targets) {
      SCOPED_TRACE("table: " + target.source.name);
      compare_shape(target);
      compare_foreign_keys(target);
      compare_rows(target);
      compare_as_verification_does(target);
    }
  }

  // As before the first script.
  void clear() {
    test::Session session = this->session();
    for (const std::string& schema : plan_.schemas) {
      session.exec(fmt::format("DROP SCHEMA IF EXISTS {} CASCADE",
                               pg::quote_identifier(schema)));
    }
    session.exec(
        "DROP SCHEMA src CASCADE; DROP SCHEMA by_hand CASCADE;"
        "CREATE SCHEMA src; CREATE SCHEMA by_hand");
    plan_ = {};
  }

  const Plan& made_plan() const { return plan_; }
  Plan plan_of(const std::string& script) {
    return make_plan(*connection_, script::Script::parse(script, "test.sql"),
                     make_names("The \"m\"", 1), {}, assume_immutable_);
  }

 protected:
  void make_tables(const std::string& schema, const std::string& setup) {
    test::Session session = this->session();
    session.exec(fmt::format("SET search_path = {}, public", schema));
    session.exec(setup);
  }

  // As the copy and the index builds do it.
  void fill_shadows() {
    pg::Connection data = pg::Connection::open(
        {.conninfo = dsn(), .application = "pgrecast"}, "copy", {});
    catalog::apply_settings(data, plan_.settings);
    for (const TableTarget& target : plan_.targets) {
      data.exec(fmt::format("INSERT INTO {} {} {}", target.shadow.quoted(),
                            target.select.insert_target(),
                            target.select.rows("true")));
      std::vector<ShadowIndex> indexes = target.indexes;
      if (!target.key_index_is_ours) indexes.push_back(target.key_index);
      for (const ShadowIndex& index : indexes) {
        if (!index.create.empty()) data.exec(index.create);
        if (index.constraint) data.exec(*index.constraint);
        for (const std::string& then : index.then) data.exec(then);
      }
      for (const std::string& late : target.late_constraints) data.exec(late);
    }
  }

  static std::string regclass(const std::string& schema,
                              const std::string& name) {
    return pg::quote_literal(pg::quote_qualified(schema, name)) + "::regclass";
  }

  // Definitions without the schema's name, which alone may differ.
  static std::string without_schema(const std::string& expression) {
    return fmt::format(
        R"(regexp_replace({}, '("pgrecast_The ""m"""|by_hand|src)\.', '', 'g'))",
        expression);
  }

  void compare_shape(const TableTarget& target) {
    const auto both = [&](const std::string& query) {
      test::Session session = this->session();
      session.exec("SET search_path = ''");
      const auto of = [&](const std::string& schema, const std::string& name) {
        std::string text = query;
        for (std::size_t at = text.find("@"); at != std::string::npos;
             at = text.find("@")) {
          text.replace(at, 1, regclass(schema, name));
        }
        return session.query_rows(text);
      };
      EXPECT_EQ(of(target.shadow.schema, target.shadow.name),
                of("by_hand", target.source.name));
    };
    both(
        "SELECT attname, format_type(atttypid, atttypmod), attnotnull, "
        "attgenerated, attidentity, attcollation::regcollation, attstorage, "
        "attcompression, attstattarget, ARRAY(SELECT o FROM unnest(attoptions) "
        "AS o WHERE o NOT LIKE 'pg\\_attver=%'), " +
        without_schema("pg_get_expr(adbin, adrelid)") +
        ", col_description(attrelid, attnum) FROM pg_attribute LEFT JOIN "
        "pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE attrelid = "
        "@ AND attnum > 0 AND NOT attisdropped ORDER BY attnum");
    both("SELECT conname, contype, convalidated, condeferrable, condeferred, " +
         without_schema("pg_get_constraintdef(oid)") +
         ", obj_description(oid, 'pg_constraint') FROM pg_constraint WHERE "
         "conrelid = @ AND contype <> 'f' ORDER BY conname");
    both("SELECT " + without_schema("pg_get_indexdef(indexrelid)") +
         ", indisprimary, indisunique, indimmediate, indisreplident, "
         "indisclustered, indisvalid, obj_description(indexrelid, 'pg_class'), "
         "(SELECT reltablespace FROM pg_class WHERE oid = indexrelid) "
         "FROM pg_index WHERE indrelid = @ ORDER BY 1");
    both(
        "SELECT reloptions, relreplident, relpersistence, reltablespace, "
        "obj_description(oid, 'pg_class') FROM pg_class WHERE oid = @");
    both("SELECT stxname, stxstattarget, " +
         without_schema("pg_get_statisticsobjdef(oid)") +
         ", obj_description(oid, 'pg_statistic_ext') FROM pg_statistic_ext "
         "WHERE stxrelid = @ ORDER BY stxname");
  }

  // The shadow has none: those that the source has and the script does not
  // drop, and those that it adds, are made in the exchange.
  void compare_foreign_keys(const TableTarget& target) {
    test::Session session = this->session();
    session.exec("SET search_path = ''");
    const auto keys = [&](const std::string& schema) {
      return session.query_rows(
          "SELECT conname, " + without_schema("pg_get_constraintdef(oid)") +
          ", COALESCE(obj_description(oid, 'pg_constraint'), '') FROM "
          "pg_constraint WHERE conrelid = " +
          regclass(schema, target.source.name) +
          " AND contype = 'f' AND conparentid = 0 ORDER BY conname");
    };
    test::Rows planned = keys("src");
    std::erase_if(planned, [&](const test::Row& key) {
      return target.dropped_foreign_keys.contains(key[0]);
    });
    for (const AddedForeignKey& key : target.added_foreign_keys) {
      planned.push_back(
          {key.name,
           session.query_value("SELECT " + without_schema("$1::text"),
                               key.definition) +
               (key.validated ? "" : " NOT VALID"),
           key.comment.value_or("")});
    }
    std::ranges::sort(planned);
    EXPECT_EQ(planned, keys("by_hand"));
  }

  // ROW(..)::text shows what a value's own text hides: blanks at its end.
  void compare_rows(const TableTarget& target) {
    const auto& known = target.select.parts().compare_columns;
    test::Session session = this->session();
    std::string list;
    std::string made_anew;
    for (const test::Row& row : session.query_rows(
             "SELECT attname, attgenerated <> '' FROM pg_attribute WHERE "
             "attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped "
             "ORDER BY attnum",
             pg::quote_qualified("by_hand", target.source.name))) {
      const std::string name = pg::quote_identifier(row[0]);
      if (row[1] == "t" || std::ranges::find(known, row[0]) != known.end()) {
        list += fmt::format("{}ROW({})::text", list.empty() ? "" : ", ", name);
      } else {
        made_anew += fmt::format(", count({0}), count(DISTINCT {0})", name);
      }
    }
    const std::string hand = pg::quote_qualified("by_hand", target.source.name);
    const auto surplus = [&](const std::string& a, const std::string& b) {
      return session.query_rows(fmt::format(
          "SELECT {0} FROM {1} EXCEPT ALL SELECT {0} FROM {2}", list, a, b));
    };
    EXPECT_EQ(surplus(hand, target.shadow.quoted()), test::Rows{})
        << "rows by hand that the shadow does not have";
    EXPECT_EQ(surplus(target.shadow.quoted(), hand), test::Rows{})
        << "rows of the shadow that there are not by hand";
    const auto counts = [&](const std::string& table) {
      return session.query_rows("SELECT count(*)" + made_anew + " FROM " +
                                table);
    };
    EXPECT_EQ(counts(hand), counts(target.shadow.quoted()));
  }

  // Verification must see no difference where there is none.
  void compare_as_verification_does(const TableTarget& target) {
    pg::Connection data = pg::Connection::open(
        {.conninfo = dsn(), .application = "pgrecast"}, "verify", {});
    catalog::apply_settings(data, plan_.settings);
    std::string on;
    for (const std::string& key : target.shadow_key) {
      on += fmt::format("{}was.{} = is_now.{}", on.empty() ? "" : " AND ",
                        pg::quote_identifier(key), pg::quote_identifier(key));
    }
    std::string was;
    std::string now;
    for (const std::string& column : target.select.parts().compare_columns) {
      const std::string name = pg::quote_identifier(column);
      was += (was.empty() ? "was." : ", was.") + name;
      now += (now.empty() ? "is_now." : ", is_now.") + name;
    }
    const pg::Result differences = data.exec(fmt::format(
        "SELECT ROW({0})::text, ROW({1})::text FROM ({2}) AS was FULL JOIN "
        "({3}) AS is_now ON {4} WHERE NOT record_image_eq(ROW({0}), ROW({1})) "
        "LIMIT 3",
        was, now, target.select.rows_to_compare("true"),
        target.select.shadow_to_compare(target.shadow.quoted(), "true"), on));
    for (int row = 0; row < differences.rows(); ++row) {
      ADD_FAILURE() << "false alarm: " << differences.text(row, 0) << " / "
                    << differences.text(row, 1);
    }
  }

  test::Session admin_ = superuser_session();
  std::unique_ptr<pg::Connection> connection_;
  Plan plan_;
  std::vector<std::string> assume_immutable_;
};

// A little of every type, NULLs, blanks at the end, duplicates.
inline constexpr const char* kManyTypes = R"sql(
CREATE TABLE t (
  id int PRIMARY KEY,
  i int,
  b bigint NOT NULL,
  n numeric(10,2),
  f float8,
  s text,
  v varchar(5),
  c char(6),
  dom short,
  tz timestamptz,
  ts timestamp,
  d date,
  iv interval,
  jb jsonb,
  j json,
  p point,
  a int[],
  m mood,
  by bytea,
  bt bit(4),
  vb bit varying(6),
  u uuid,
  bo boolean,
  g int GENERATED ALWAYS AS (i * 2) STORED);
INSERT INTO t SELECT x, CASE WHEN x % 7 > 0 THEN x % 5 END, 10000000000 + x,
  CASE WHEN x % 3 > 0 THEN x / 7.0 END, x / 3.0::float8,
  CASE x % 5 WHEN 0 THEN NULL WHEN 1 THEN 'x' || x WHEN 2 THEN (x % 4)::text
             WHEN 3 THEN 'a  ' ELSE 'ab       ' END,
  CASE x % 4 WHEN 0 THEN NULL WHEN 1 THEN 'a ' ELSE 'v' || x END,
  CASE x % 4 WHEN 0 THEN NULL WHEN 1 THEN 'a ' ELSE 'c' || x END,
  CASE x % 3 WHEN 0 THEN NULL WHEN 1 THEN 'd' || x ELSE 'good' END,
  CASE WHEN x % 4 > 0 THEN '2024-03-10 00:30+00'::timestamptz + x * interval '1 hour' END,
  CASE WHEN x % 4 > 0 THEN '2024-11-03 00:30'::timestamp + x * interval '17 minutes' END,
  '2024-02-20'::date + x, x * interval '1 day 3 minutes',
  jsonb_build_object('x', x, 'y', NULL), ('{"x" :  ' || x || ', "x": 1}')::json,
  point(x, -x), CASE WHEN x % 3 > 0 THEN ARRAY[x, NULL, 3] END,
  (ARRAY['sad', 'ok', 'happy', NULL])[1 + x % 4]::mood,
  decode(lpad(to_hex(x), 4, '0'), 'hex'), (x % 16)::bit(4),
  CASE WHEN x % 2 = 0 THEN B'101' ELSE B'0' END,
  md5(x::text)::uuid, (ARRAY[true, false, NULL])[1 + x % 3]
FROM generate_series(1, 60) AS x;
)sql";

}  // namespace pgrecast::plan
