#include "scenarios/carried/random_database.h"

#include "scenarios/twin/random.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>

namespace pgrecast::test {
namespace {

using Texts = std::vector<std::string>;

std::string quoted(const std::string& name) {
  std::string text = "\"";
  for (const char c : name) {
    if (c == '"') text += c;
    text += c;
  }
  return text + '"';
}

struct Table {
  std::string schema;
  std::string name;
  std::string key;    // int or bigint, unique
  std::string a, b;   // int
  std::string w;      // text
  std::string spare;  // nothing needs it
  std::string wide;   // int, which a script may widen
  std::string up;     // int, refers to the parent
  std::string full;   // int, without NULLs
  Texts others;       // columns of any type
  std::string q() const { return quoted(schema) + "." + quoted(name); }
};

// One long list of choices, which reads best as such.
// NOLINTBEGIN(readability-function-size,readability-function-cognitive-complexity,readability-braces-around-statements,performance-no-automatic-move,modernize-use-emplace,modernize-raw-string-literal,modernize-pass-by-value)
class Maker {
 public:
  Maker(std::uint64_t seed, int version, const RandomRoles& roles)
      : random_(seed), version_(version), roles_(roles) {}

  RandomDatabase make() {
    schemas();
    others();
    Table first = table("t");
    tables_.push_back(first);
    if (random_.chance(35)) tables_.push_back(table("u"));
    for (const Table& one : tables_) rows(one);
    for (const Table& one : tables_) belongings(one);
    for (const Table& one : tables_) elsewhere(one);
    names_that_clash();
    identities_that_clash();
    refresh();
    made_.script = script();
    return std::move(made_);
  }

 private:
  bool chance(int percent) { return random_.chance(percent); }
  template <typename T>
  T pick(std::initializer_list<T> from) {
    return random_.pick(std::vector<T>(from));
  }
  std::string one_of(std::initializer_list<const char*> from) {
    return random_.pick(std::vector<const char*>(from));
  }

  template <typename... Args>
  void as(const std::string& role, fmt::format_string<Args...> sql,
          Args&&... args) {
    made_.statements.push_back(
        fmt::format("SET ROLE {};\n{};\nRESET ROLE", role,
                    fmt::format(sql, std::forward<Args>(args)...)));
  }
  template <typename... Args>
  void own(fmt::format_string<Args...> sql, Args&&... args) {
    as(roles_.owner, sql, std::forward<Args>(args)...);
  }
  std::string someone() { return chance(70) ? roles_.owner : roles_.keeper; }

  std::string name(const std::string& hint) {
    ++count_;
    switch (random_.below(14)) {
      case 0:
        return fmt::format("{} {}", hint, count_);
      case 1:
        return fmt::format("{}\"{}", hint, count_);
      case 2:
        return fmt::format("{}'{}\\", hint, count_);
      case 3:
        return fmt::format("Ünï{}ж{}", hint, count_);
      case 4: {
        std::string longest = fmt::format("{}{}_", hint, count_);
        longest.resize(63, 'x');
        return longest;
      }
      case 5:
        return fmt::format("{}${{}}{}", hint, count_);
      case 6:
        return fmt::format("PgRecast_{}_{}", hint, count_);
      case 7: {
        // One that only its first use gets.
        const std::string word = one_of({"select", "user", "table", "new",
                                         "old", "value", "excluded", "order"});
        if (words_.insert(word).second) return word;
        return fmt::format("{}{}", hint, count_);
      }
      default:
        return fmt::format("{}{}", hint, count_);
    }
  }

  void comment(const std::string& on) {
    if (chance(50)) return;
    ++count_;
    own("COMMENT ON {} IS 'it''s {}; \\ \"{}\"'", on, count_, count_);
  }

  void schemas() {
    made_.statements.push_back("CREATE SCHEMA \"S two\"");
    made_.statements.push_back("CREATE SCHEMA plain");
    for (const char* schema : {"\"S two\"", "plain", "public"}) {
      made_.statements.push_back(
          fmt::format("GRANT USAGE, CREATE ON SCHEMA {} TO {}, {}", schema,
                      roles_.owner, roles_.keeper));
      made_.statements.push_back(
          fmt::format("GRANT USAGE ON SCHEMA {} TO {}, {}", schema,
                      roles_.reader, roles_.stranger));
    }
    if (chance(30)) {
      made_.statements.push_back(fmt::format(
          "ALTER DEFAULT PRIVILEGES FOR ROLE {} GRANT ALL ON TABLES TO {}",
          roles_.owner, roles_.stranger));
      made_.statements.push_back(fmt::format(
          "ALTER DEFAULT PRIVILEGES FOR ROLE {} GRANT ALL ON SEQUENCES TO "
          "PUBLIC",
          roles_.owner));
      made_.statements.push_back(fmt::format(
          "ALTER DEFAULT PRIVILEGES FOR ROLE {} REVOKE EXECUTE ON FUNCTIONS "
          "FROM PUBLIC",
          roles_.keeper));
    }
  }

  std::string schema() {
    return pick<std::string>({"public", "S two", "plain"});
  }
  std::string in_schema(const std::string& hint) {
    return quoted(schema()) + "." + quoted(name(hint));
  }

  // Tables, types and functions that the others use.
  void others() {
    own("CREATE TYPE plain.mood AS ENUM ('fine', 'it''s bad')");
    own("CREATE DOMAIN plain.positive AS int CHECK (VALUE > -100000)");
    own("CREATE TYPE plain.pair AS (x int, y text)");
    own("CREATE TABLE plain.parent (id int PRIMARY KEY, a int, b int, "
        "UNIQUE (a, b))");
    own("INSERT INTO plain.parent SELECT g, g, -g FROM generate_series(0, 20) "
        "g");
    own("GRANT REFERENCES, SELECT, UPDATE ON plain.parent TO {}",
        roles_.keeper);
    own("CREATE TABLE plain.log (what text, number bigint)");
    own("GRANT INSERT ON plain.log TO PUBLIC");
    as(roles_.keeper,
       "CREATE TABLE plain.listed (x bigint PRIMARY KEY, y int DEFAULT 1); "
       "INSERT INTO plain.listed VALUES (5), (6), (7); "
       "GRANT SELECT ON plain.listed TO PUBLIC");
    own("CREATE FUNCTION plain.fine(int) RETURNS boolean LANGUAGE sql "
        "IMMUTABLE AS 'SELECT $1 IS NULL OR $1 > -99999'");
    own("CREATE FUNCTION plain.fine(bigint) RETURNS boolean LANGUAGE sql "
        "IMMUTABLE AS 'SELECT $1 IS NULL OR $1 > -99999'");
    own("CREATE FUNCTION plain.is_listed(bigint) RETURNS boolean LANGUAGE "
        "plpgsql STABLE AS $$ BEGIN RETURN EXISTS (SELECT FROM plain.listed "
        "WHERE x <> $1); END $$");
    own("CREATE FUNCTION plain.fine(text) RETURNS boolean LANGUAGE sql "
        "IMMUTABLE AS 'SELECT true'");
    own("CREATE FUNCTION plain.note() RETURNS trigger LANGUAGE plpgsql AS $$ "
        "BEGIN INSERT INTO plain.log VALUES (TG_NAME, TG_NARGS); "
        "RETURN COALESCE(NEW, OLD); END $$");
    own("CREATE FUNCTION plain.note(int) RETURNS int LANGUAGE sql IMMUTABLE AS "
        "'SELECT $1'");
    own("CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS $$ "
        "BEGIN RETURN NULL; END $$");
  }

  struct Type {
    const char* name;
    const char* from_g;  // a value
    const char* constant;
  };
  static const std::vector<Type>& types() {
    static const std::vector<Type> all = {
        {"int", "g", "5"},
        {"bigint", "g * 10", "7"},
        {"smallint", "g", "3"},
        {"numeric(10,2)", "g / 3.0", "1.5"},
        {"numeric", "g", "0"},
        {"text COLLATE \"C\"", "'c' || g", "'it''s'"},
        {"text", "'t' || g", "'x'::text || 'y'"},
        {"varchar(20)", "'v' || g", "'v'"},
        {"char(5)", "g", "'c'"},
        {"boolean", "g % 2 = 0", "true"},
        {"date", "date '2020-01-01' + g", "'2020-01-01'"},
        {"timestamp(3)", "timestamp '2020-01-01' + g * interval '1 h'",
         "'2020-01-01 00:00'"},
        {"timestamptz",
         "timestamptz '2020-01-01 00:00+00' + g * interval '1 h'", "now()"},
        {"uuid", "md5(g::text)::uuid", "gen_random_uuid()"},
        {"jsonb", "jsonb_build_object('n', g)", "'{}'"},
        {"json", "json_build_object('n', g)", "'[]'"},
        {"bytea", "convert_to('b' || g, 'UTF8')", "'\\x00'"},
        {"int[]", "ARRAY[g, 1]", "'{1,2}'"},
        {"text[]", "ARRAY['t' || g]", "ARRAY['a', 'b']"},
        {"int4range", "int4range(g * 10, g * 10 + 5)", "'[1,2)'"},
        {"inet", "('10.0.0.' || g)::inet", "'::1'"},
        {"plain.mood", "'fine'::plain.mood", "'it''s bad'"},
        {"plain.positive", "g", "1"},
        {"plain.pair", "ROW(g, 'p')::plain.pair", "ROW(1, 'd')::plain.pair"},
        {"float8", "g / 7.0", "'NaN'"},
        {"interval", "g * interval '1 min'", "'1 day'"},
        {"bit(4)", "B'1010'", "B'0000'"},
        {"point", "point(g, g)", "point(0, 0)"},
        {"oid", "g", "0"},
        {"name", "'n' || g", "CURRENT_USER"},
        {"\"char\"", "'c'", "'x'"}};
    return all;
  }

  struct Extra {
    std::string column;
    const Type* type;
  };

  std::string with_options() {
    Texts all;
    if (chance(40)) all.push_back("fillfactor = 70");
    if (chance(25)) all.push_back("autovacuum_enabled = off");
    if (chance(25)) all.push_back("parallel_workers = 2");
    if (chance(25)) all.push_back("toast.autovacuum_vacuum_threshold = 100");
    if (chance(15)) all.push_back("user_catalog_table = false");
    if (chance(15)) all.push_back("toast_tuple_target = 1000");
    std::string text;
    for (const std::string& one : all) text += (text.empty() ? "" : ", ") + one;
    return text.empty() ? "" : " WITH (" + text + ")";
  }

  Table table(const std::string& hint) {
    Table t;
    t.schema = schema();
    t.name = name(hint);
    // Two of one name, in two schemas.
    if (!tables_.empty() && t.schema != tables_.front().schema && chance(30)) {
      t.name = tables_.front().name;
    }
    t.key = name("id");
    t.a = name("a");
    t.b = name("b");
    t.w = name("w");
    t.spare = name("spare");
    t.wide = name("wide");
    t.up = name("up");
    t.full = name("full");
    Texts parts;
    const std::string key_type = one_of({"int", "bigint"});
    std::string key = quoted(t.key) + " ";
    switch (random_.below(5)) {
      case 0:
        key += key_type == "int" ? "serial" : "bigserial";
        break;
      case 1:
        key += key_type + " GENERATED ALWAYS AS IDENTITY (START 1000 CACHE 5)";
        break;
      case 2:
        key += fmt::format(
            "{} GENERATED BY DEFAULT AS IDENTITY (SEQUENCE NAME {}.{} START "
            "2000 INCREMENT 3)",
            key_type, quoted(t.schema), quoted(name("seq")));
        break;
      default:
        key += key_type;
    }
    const bool primary = chance(80);
    key += primary ? fmt::format(
                         "{} PRIMARY KEY",
                         chance(40) ? " CONSTRAINT " + quoted(name("pk")) : "")
                   : " NOT NULL";
    parts.push_back(key);
    if (chance(40)) parts.push_back("\"gone first\" int");
    parts.push_back(quoted(t.a) + one_of({" int", " int DEFAULT 5",
                                          " int NOT NULL DEFAULT 1"}));
    parts.push_back(quoted(t.b) + " int");
    parts.push_back(quoted(t.w) + one_of({" text", " text DEFAULT 'it''s'",
                                          " text COLLATE \"C\""}));
    parts.push_back(quoted(t.spare) + one_of({" int", " text", " serial",
                                              " int DEFAULT 3 CHECK (true)"}));
    parts.push_back(quoted(t.wide) + " int" +
                    one_of({"", " DEFAULT 9", " NOT NULL DEFAULT 2"}));
    parts.push_back(quoted(t.up) + " int");
    parts.push_back(quoted(t.full) + " int");
    const int more = random_.below(7);
    for (int i = 0; i < more; ++i) {
      const Type& type = random_.pick(types());
      Extra extra{name("c"), &type};
      std::string text = quoted(extra.column) + " " + type.name;
      if (chance(50)) text += fmt::format(" DEFAULT {}", type.constant);
      extras_.push_back(extra);
      t.others.push_back(extra.column);
      parts.push_back(text);
    }
    if (chance(30)) {
      parts.push_back(fmt::format("{} int GENERATED ALWAYS AS ({} * 2) STORED",
                                  quoted(name("gen")), quoted(t.a)));
    }
    if (version_ >= 18 && chance(30)) {
      parts.push_back(fmt::format("{} int GENERATED ALWAYS AS ({} * 3) VIRTUAL",
                                  quoted(name("virt")), quoted(t.a)));
    }
    if (chance(25)) {
      parts.push_back(
          fmt::format("{} smallint GENERATED {} AS IDENTITY (CYCLE)",
                      quoted(name("again")), one_of({"ALWAYS", "BY DEFAULT"})));
    }
    std::string columns;
    for (const std::string& part : parts) {
      columns += (columns.empty() ? "" : ",\n  ") + part;
    }
    own("CREATE TABLE {} (\n  {}){}", t.q(), columns, with_options());
    if (!primary) {
      const std::string index = name("identity");
      own("CREATE UNIQUE INDEX {} ON {} ({})", quoted(index), t.q(),
          quoted(t.key));
      own("ALTER TABLE {} REPLICA IDENTITY USING INDEX {}", t.q(),
          quoted(index));
    } else if (chance(10)) {
      own("ALTER TABLE {} REPLICA IDENTITY FULL", t.q());
    }
    own("ALTER TABLE {} DROP COLUMN IF EXISTS \"gone first\"", t.q());
    return t;
  }

  void rows(const Table& t) {
    std::string columns;
    std::string values;
    for (const Extra& extra : extras_) {
      if (std::find(t.others.begin(), t.others.end(), extra.column) ==
          t.others.end()) {
        continue;
      }
      columns += ", " + quoted(extra.column);
      values += std::string(", ") + extra.type->from_g;
    }
    own("INSERT INTO {} ({}, {}, {}, {}, {}, {}, {}{}) OVERRIDING SYSTEM VALUE "
        "SELECT g, g, -g, 'r' || g, g, g % 20, g{} FROM generate_series(1, 40) "
        "g",
        t.q(), quoted(t.key), quoted(t.a), quoted(t.b), quoted(t.w),
        quoted(t.wide), quoted(t.up), quoted(t.full), columns, values);
    if (chance(30)) {
      own("ALTER TABLE {} ADD {} int DEFAULT 3", t.q(), quoted(name("fast")));
    }
  }

  // Over the columns of one row; `wide` only where the script may widen it.
  std::string condition(const Table& t, const std::string& before = "") {
    const auto c = [&](const std::string& column) {
      return before + quoted(column);
    };
    switch (random_.below(10)) {
      case 0:
        return c(t.a) + " > -1000";
      case 1:
        return fmt::format("{} % 7 <> 300", c(t.a));
      case 2:
        return fmt::format("{} <> 'zz' OR {} IS NULL", c(t.w), c(t.b));
      case 3:
        return fmt::format("plain.fine({})", c(t.a));
      case 4:
        return fmt::format("lower({}) LIKE '%' AND plain.fine({})", c(t.w),
                           c(t.w));
      case 5:
        return fmt::format("({}, {}) <> (1, -1000)", c(t.a), c(t.b));
      case 6:
        return fmt::format("{} IN (1, 2, 3) OR {} IS NOT NULL", c(t.a), c(t.a));
      case 7:
        return fmt::format("{}::text <> ''", c(t.b));
      case 8:
        return fmt::format("CASE WHEN {} > 5 THEN {} < 0 ELSE true END OR true",
                           c(t.a), c(t.b));
      default:
        return fmt::format("coalesce({}, 1) BETWEEN -5000 AND 5000", c(t.b));
    }
  }

  // With other tables.
  std::string far_condition(const Table& t) {
    switch (random_.below(8)) {
      case 3:
        return fmt::format("plain.is_listed({})", quoted(t.a));
      case 4:
        return fmt::format("{}.* IS NOT NULL OR true", quoted(t.name));
      case 0:
        return fmt::format("{} IN (SELECT x FROM plain.listed)", quoted(t.a));
      case 1:
        return fmt::format(
            "EXISTS (SELECT FROM plain.parent p WHERE p.id = {}.{})", t.q(),
            quoted(t.up));
      case 2:
        return fmt::format("{} <= (SELECT max({}) FROM {})", quoted(t.a),
                           quoted(t.a), t.q());
      default:
        return condition(t);
    }
  }

  void belongings(const Table& t) {
    columns(t);
    constraints(t);
    indexes(t);
    statistics(t);
    triggers(t);
    views(t);
    functions(t);
    rules(t);
    policies(t);
    rights(t);
    publications(t);
    comments(t);
  }

  void columns(const Table& t) {
    Texts all = t.others;
    all.insert(all.end(), {t.a, t.b, t.w});
    for (const std::string& column : all) {
      const std::string alter =
          fmt::format("ALTER TABLE {} ALTER {} ", t.q(), quoted(column));
      if (chance(15)) own("{}SET STATISTICS {}", alter, random_.below(100));
      if (chance(15)) {
        // Not PLAIN: a table of which no column needs it has no TOAST, and no
        // options of that.
        own("{}SET STORAGE {}", alter, one_of({"EXTERNAL", "MAIN"}));
      }
      if (chance(10)) own("{}SET COMPRESSION pglz", alter);
      if (chance(15)) own("{}SET (n_distinct = -0.5)", alter);
      if (chance(15)) own("{}SET NOT NULL", alter);
    }
    if (chance(20)) {
      own("CREATE SEQUENCE {}.{} OWNED BY {}.{}", quoted(t.schema),
          quoted(name("extra")), t.q(), quoted(t.b));
    }
    if (chance(20)) {
      const std::string sequence = in_schema("drawn");
      as(roles_.owner, "CREATE SEQUENCE {}", sequence);
      own("ALTER TABLE {} ALTER {} SET DEFAULT nextval('{}')", t.q(),
          quoted(t.b), doubled(sequence));
      if (chance(30)) {
        own("ALTER SEQUENCE {} OWNED BY {}.{}", sequence, t.q(), quoted(t.b));
      }
      if (chance(50)) {
        own("ALTER TABLE plain.parent ALTER b SET DEFAULT nextval('{}')",
            doubled(sequence));
      }
    }
  }

  static std::string doubled(const std::string& text) {
    std::string twice;
    for (const char c : text) {
      if (c == '\'') twice += c;
      twice += c;
    }
    return twice;
  }

  void constraint(const Table& t, const std::string& hint,
                  const std::string& definition) {
    const std::string constraint = name(hint);
    own("ALTER TABLE {} ADD CONSTRAINT {} {}", t.q(), quoted(constraint),
        definition);
    comment(fmt::format("CONSTRAINT {} ON {}", quoted(constraint), t.q()));
    if (chance(10))
      comment("INDEX " + quoted(t.schema) + "." + quoted(constraint));
  }

  std::string deferrable() {
    return one_of({"", "", "", " DEFERRABLE", " DEFERRABLE INITIALLY DEFERRED",
                   " NOT DEFERRABLE"});
  }

  std::string actions() {
    std::string text;
    if (chance(40)) {
      text += " ON DELETE " +
              one_of({"CASCADE", "SET NULL", "RESTRICT", "SET DEFAULT"});
    }
    if (chance(30)) text += " ON UPDATE " + one_of({"CASCADE", "SET NULL"});
    return text;
  }

  void constraints(const Table& t) {
    const std::string k = quoted(t.key);
    if (chance(50)) constraint(t, "check", "CHECK (" + condition(t) + ")");
    if (chance(25)) {
      constraint(t, "check", "CHECK (" + condition(t) + ") NO INHERIT");
    }
    if (chance(25))
      constraint(t, "legacy",
                 fmt::format("CHECK ({} > 5) NOT VALID", quoted(t.a)));
    if (chance(20)) own("ALTER TABLE {} ADD CHECK ({})", t.q(), condition(t));
    if (chance(30)) {
      constraint(t, "one",
                 fmt::format("UNIQUE ({}, {}){}{}", k, quoted(t.a),
                             chance(40) ? " INCLUDE (" + quoted(t.w) + ")" : "",
                             deferrable()));
    }
    if (chance(20))
      own("ALTER TABLE {} ADD UNIQUE ({}, {})", t.q(), k, quoted(t.b));
    if (version_ >= 15 && chance(20)) {
      constraint(
          t, "alike",
          fmt::format("UNIQUE NULLS NOT DISTINCT ({}, {})", quoted(t.w), k));
    }
    if (chance(20)) {
      constraint(t, "apart",
                 fmt::format("EXCLUDE USING {} ({} WITH =) WHERE ({}){}",
                             one_of({"btree", "hash"}), k, condition(t),
                             deferrable()));
    }
    if (chance(50)) {
      constraint(t, "to parent",
                 fmt::format("FOREIGN KEY ({}) REFERENCES plain.parent{}{}{}",
                             quoted(t.up), actions(), deferrable(),
                             chance(20) ? " NOT VALID" : ""));
    }
    if (chance(20)) {
      own("ALTER TABLE {} ADD FOREIGN KEY ({}, {}) REFERENCES plain.parent (a, "
          "b) MATCH FULL NOT VALID",
          t.q(), quoted(t.a), quoted(t.b));
    }
    if (chance(25)) {
      constraint(
          t, "to self",
          fmt::format("FOREIGN KEY ({}) REFERENCES {} ({}){}{}", quoted(t.full),
                      t.q(), k, actions(), deferrable()));
    }
    if (version_ >= 18) {
      if (chance(25)) {
        constraint(t, "there", fmt::format("NOT NULL {}", quoted(t.up)));
      }
      if (chance(25)) {
        constraint(t, "unenforced",
                   fmt::format("CHECK ({} < 0) NOT ENFORCED", quoted(t.a)));
      }
      if (chance(25)) {
        constraint(t, "from now",
                   fmt::format("NOT NULL {} NOT VALID", quoted(t.b)));
      }
    }
  }

  void indexes(const Table& t) {
    Texts made;
    const auto index = [&](const std::string& rest, bool named = true) {
      const std::string called = name("i");
      own("CREATE INDEX {} ON {} {}", named ? quoted(called) : "", t.q(), rest);
      if (!named) return;
      made.push_back(called);
      comment("INDEX " + quoted(t.schema) + "." + quoted(called));
    };
    if (chance(40)) {
      index(fmt::format("({} DESC NULLS LAST, {}) INCLUDE ({}) WHERE {}",
                        quoted(t.a), quoted(t.key), quoted(t.w), condition(t)));
    }
    if (chance(40)) {
      index(
          fmt::format("(lower({}) text_pattern_ops, ({} || 'x') COLLATE "
                      "\"POSIX\")",
                      quoted(t.w), quoted(t.w)));
      if (chance(50) && !made.empty()) {
        own("ALTER INDEX {}.{} ALTER COLUMN 2 SET STATISTICS 33",
            quoted(t.schema), quoted(made.back()));
      }
    }
    if (chance(30)) index(fmt::format("({})", quoted(t.a)), false);
    if (chance(30)) index(fmt::format("({})", quoted(t.a)), false);
    if (chance(20))
      index(fmt::format("(({} + {}))", quoted(t.a), quoted(t.b)), false);
    if (chance(20)) index(fmt::format("USING hash ({})", quoted(t.w)));
    if (chance(20)) {
      index(fmt::format("USING brin ({}) WITH (pages_per_range = 4)",
                        quoted(t.a)));
    }
    if (chance(20)) {
      index(fmt::format("({}) WITH (fillfactor = 50, deduplicate_items = off)",
                        quoted(t.b)));
    }
    if (chance(20)) {
      own("CREATE UNIQUE INDEX {} ON {} ({}) WHERE {} > 5",
          quoted(name("uniq")), t.q(), quoted(t.key), quoted(t.a));
    }
    if (chance(20)) index(fmt::format("(plain.fine({}))", quoted(t.a)));
    for (const std::string& column : t.others) {
      if (chance(20)) index(fmt::format("({})", quoted(column)), chance(50));
    }
    if (!made.empty() && chance(30)) {
      own("ALTER TABLE {} CLUSTER ON {}", t.q(), quoted(random_.pick(made)));
    }
  }

  void statistics(const Table& t) {
    const int count = random_.below(3);
    for (int i = 0; i < count; ++i) {
      const std::string statistics =
          chance(15) ? quoted(schema()) + ".\"one name\"" : in_schema("st");
      const std::string role = someone();
      own("CREATE STATISTICS {}{} ON {} FROM {}", statistics,
          one_of({"", " (ndistinct)", " (mcv, dependencies)"}),
          one_of({"", "x"}).empty()
              ? fmt::format("{}, {}", quoted(t.a), quoted(t.b))
              : fmt::format("{}, lower({}), ({} % 10)", quoted(t.b),
                            quoted(t.w), quoted(t.a)),
          t.q());
      if (chance(40)) own("ALTER STATISTICS {} SET STATISTICS 44", statistics);
      comment("STATISTICS " + statistics);
      if (role == roles_.keeper) {
        made_.statements.push_back(
            fmt::format("ALTER STATISTICS {} OWNER TO {}", statistics, role));
      }
    }
    if (chance(10)) {
      if (version_ >= 16)
        own("CREATE STATISTICS ON {}, {} FROM {}", quoted(t.a), quoted(t.w),
            t.q());
    }
  }

  void triggers(const Table& t) {
    const int count = random_.below(5);
    for (int i = 0; i < count; ++i) {
      const std::string trigger =
          chance(4) ? "pgrecast_guard" : name("trigger");
      std::string text;
      switch (random_.below(6)) {
        case 0:
          text = fmt::format(
              "BEFORE UPDATE OF {}, {} ON {} FOR EACH ROW WHEN "
              "(OLD.{} IS DISTINCT FROM NEW.{} AND ({}))",
              quoted(t.a), quoted(t.w), t.q(), quoted(t.a), quoted(t.a),
              condition(t, "NEW."));
          break;
        case 1:
          text = fmt::format(
              "AFTER INSERT ON {} REFERENCING NEW TABLE AS {} "
              "FOR EACH STATEMENT",
              t.q(), quoted(name("fresh")));
          break;
        case 2:
          text = fmt::format(
              "AFTER INSERT OR UPDATE OR DELETE ON {} FOR EACH "
              "ROW",
              t.q());
          break;
        case 3:
          text = fmt::format("BEFORE TRUNCATE ON {}", t.q());
          break;
        case 4:
          text = fmt::format("BEFORE DELETE ON {} FOR EACH ROW WHEN ({})",
                             t.q(), condition(t, "OLD."));
          break;
        default:
          text = fmt::format(
              "AFTER UPDATE ON {} FOR EACH ROW WHEN (OLD.* IS "
              "DISTINCT FROM NEW.*)",
              t.q());
      }
      own("CREATE TRIGGER {} {} EXECUTE FUNCTION plain.note({})",
          quoted(trigger), text,
          one_of({"", "'it''s', E'a\\\\b'", "1, foo, 'x y'"}));
      if (chance(40)) {
        own("ALTER TABLE {} {} TRIGGER {}", t.q(),
            one_of({"DISABLE", "ENABLE REPLICA", "ENABLE ALWAYS"}),
            quoted(trigger));
      }
      comment(fmt::format("TRIGGER {} ON {}", quoted(trigger), t.q()));
    }
    if (chance(20)) {
      own("CREATE CONSTRAINT TRIGGER {} AFTER INSERT ON {}{}{} FOR EACH ROW "
          "WHEN ({}) EXECUTE FUNCTION public.note()",
          quoted(name("late")), t.q(), chance(40) ? " FROM plain.parent" : "",
          deferrable(), condition(t, "NEW."));
    }
  }

  void views(const Table& t) {
    Texts made;
    const auto view = [&](const std::string& head, const std::string& query,
                          const std::string& tail = "") {
      const std::string called = in_schema("v");
      const std::string role = chance(85) ? roles_.owner : roles_.keeper;
      if (role == roles_.keeper) own("GRANT SELECT ON {} TO {}", t.q(), role);
      as(role, "CREATE VIEW {}{} AS {}{}", called, head, query, tail);
      made.push_back(called);
      return called;
    };
    const auto barrier = [&] {
      return version_ >= 15 && chance(20) ? " WITH (security_invoker)"
             : chance(30)                 ? " WITH (security_barrier)"
                                          : "";
    };
    const std::string k = quoted(t.key);
    const std::string a = quoted(t.a);
    const std::string b = quoted(t.b);
    const std::string w = quoted(t.w);
    std::string direct;
    if (chance(70)) {
      direct = view(
          barrier(),
          fmt::format("SELECT {} AS k, {} AS a, {} AS w FROM {}{}", k, a, w,
                      t.q(), chance(50) ? " WHERE " + condition(t) : ""),
          one_of({"", "", " WITH LOCAL CHECK OPTION"}));
    }
    if (chance(25)) view("", fmt::format("SELECT * FROM {}", t.q()));
    if (chance(25)) {
      view("", fmt::format("SELECT {}, {}, count(*) OVER () AS n FROM {} GROUP "
                           "BY {}",
                           k, a, t.q(), k));
    }
    if (chance(15))
      view("", fmt::format("SELECT count(x.*) AS n, "
                           "max(row_to_json(x.*)::text) AS j FROM "
                           "{} x",
                           t.q()));
    if (chance(15)) {
      view("", fmt::format("SELECT x.{0} AS one, y.{0} AS two FROM {1} x JOIN "
                           "{1} y USING ({2}) WHERE x.{0} IN (SELECT {0} FROM "
                           "{1} z WHERE z.{2} = y.{2})",
                           a, t.q(), k));
    }
    if (chance(15)) {
      view("", fmt::format("WITH x AS (SELECT {0}, {1} FROM {2}) SELECT {0} "
                           "FROM x UNION ALL SELECT x FROM plain.listed",
                           a, b, t.q()));
    }
    odd_views(t, view);
    std::string on_view;
    if (!direct.empty() && chance(60)) {
      on_view = view(barrier(),
                     fmt::format("SELECT d.k, d.a + 1 AS more, t.{} FROM {} d "
                                 "JOIN {} t ON t.{} = d.k",
                                 w, direct, t.q(), k));
      if (chance(60)) {
        view("", fmt::format("SELECT count(*) AS n, max(more) AS most FROM {}",
                             on_view));
      }
    }
    if (!direct.empty() && chance(40)) {
      as(roles_.owner, "ALTER VIEW {} ALTER a SET DEFAULT 9", direct);
    }
    if (!direct.empty() && chance(25)) {
      own("CREATE RULE {} AS ON INSERT TO {} DO INSTEAD INSERT INTO {} ({}, "
          "{}, "
          "{}) VALUES (NEW.k, NEW.a, NEW.w) RETURNING {}, {}, {}",
          quoted(name("puts")), direct, t.q(), k, a, w, k, a, w);
    }
    if (!on_view.empty() && chance(50)) {
      const std::string trigger = name("instead");
      own("CREATE TRIGGER {} INSTEAD OF {} ON {} FOR EACH ROW EXECUTE FUNCTION "
          "plain.note('i')",
          quoted(trigger), one_of({"INSERT", "UPDATE", "DELETE"}), on_view);
      comment(fmt::format("TRIGGER {} ON {}", quoted(trigger), on_view));
      if (chance(30)) {
        own("ALTER TABLE {} RENAME TO {}", on_view, quoted(name("v")));
        on_view.clear();
      }
    }
    if (!on_view.empty() && chance(40)) {
      const std::string rule = name("rule");
      own("CREATE RULE {} AS ON DELETE TO {} DO INSTEAD UPDATE {} SET {} = 9 "
          "WHERE {} = OLD.k",
          quoted(rule), on_view, t.q(), a, k);
      comment(fmt::format("RULE {} ON {}", quoted(rule), on_view));
    }
    for (const std::string& one : made) {
      comment("VIEW " + one);
      if (chance(10)) comment("RULE \"_RETURN\" ON " + one);
      if (chance(40))
        own("GRANT SELECT ON {} TO {} WITH GRANT OPTION", one, roles_.reader);
      if (chance(30)) {
        as(roles_.reader, "GRANT SELECT ON {} TO {}", one,
           one_of({"PUBLIC", "x"}) == "x" ? roles_.stranger : "PUBLIC");
      }
      if (chance(15)) own("GRANT UPDATE (a), INSERT (k) ON {} TO PUBLIC", one);
    }
    if (!direct.empty()) comment(fmt::format("COLUMN {}.a", direct));
    for (const std::string& one : made) {
      if (chance(20)) materialized(fmt::format("SELECT * FROM {}", one));
    }
    if (chance(25)) {
      materialized(fmt::format(
          "SELECT {0} AS k, {1} AS \"the a\", {2} FROM {3}", k, a, w, t.q()));
    }
    views_.insert(views_.end(), made.begin(), made.end());
    direct_ = direct;
    on_view_ = on_view;
  }

  template <typename View>
  void odd_views(const Table& t, const View& view) {
    const std::string k = quoted(t.key);
    const std::string a = quoted(t.a);
    const std::string b = quoted(t.b);
    const std::string w = quoted(t.w);
    if (chance(12)) {
      view("", fmt::format("SELECT DISTINCT ON ({0}) {0}, {1}, rank() OVER x "
                           "AS r FROM {2} WINDOW x AS (PARTITION BY {3} ORDER "
                           "BY {1} DESC) ORDER BY {0}, {1} LIMIT 7",
                           a, k, t.q(), w));
    }
    if (chance(12)) {
      view("", fmt::format("SELECT {0}, {1}, sum({2}) FROM {3} GROUP BY "
                           "GROUPING SETS (({0}), ({1}), ()) HAVING count(*) > "
                           "0",
                           a, w, k, t.q()));
    }
    if (chance(12)) {
      view("",
           fmt::format("SELECT t.{0}, l.n, s FROM {1} t LEFT JOIN LATERAL "
                       "(SELECT count(*) AS n FROM {1} i WHERE i.{2} < "
                       "t.{2}) l ON true, generate_series(1, t.{2}) s, ROWS "
                       "FROM (unnest(ARRAY[t.{0}]), unnest(ARRAY[t.{3}])) "
                       "AS u(one, two) WHERE s < 3",
                       k, t.q(), a, w));
    }
    if (chance(12)) {
      view("", fmt::format("SELECT x.one, x.two FROM ({0} t NATURAL JOIN {0} "
                           "t2) AS x(one, two) WHERE NOT EXISTS (VALUES (1) "
                           "EXCEPT SELECT 1)",
                           t.q()));
    }
    if (chance(12)) {
      view("", fmt::format("WITH RECURSIVE r(k, d) AS (SELECT {0}, 0 FROM {1} "
                           "UNION ALL SELECT {0}, d + 1 FROM {1} JOIN r ON {0} "
                           "= k + 100) SELECT k, d FROM r",
                           k, t.q()));
    }
    if (chance(12)) {
      view("", fmt::format("SELECT {0}, plain.fine({1}), CASE {1} WHEN 3 THEN "
                           "'three' ELSE {2} END AS c, ({1}, {3}) = ROW(1, 2) "
                           "AS r, coalesce({1}, {3}) AS co, {2} COLLATE \"C\" "
                           "AS o FROM {4} TABLESAMPLE bernoulli (100)",
                           k, a, w, b, t.q()));
    }
    if (chance(12)) {
      view("",
           fmt::format("SELECT o.{0}, i.{0} AS i FROM {1} o FULL JOIN (SELECT "
                       "* FROM {1}) i USING ({2}) WHERE o.{0} = ANY (SELECT "
                       "{0} FROM {1})",
                       a, t.q(), k));
    }
  }

  void materialized(const std::string& query) {
    const std::string schema = this->schema();
    const std::string called = name("mv");
    const std::string view = quoted(schema) + "." + quoted(called);
    own("CREATE MATERIALIZED VIEW {}{} AS {}{}", view,
        chance(30) ? " WITH (fillfactor = 80)" : "", query,
        chance(15) ? " WITH NO DATA" : "");
    materialized_.push_back(view);
    comment("MATERIALIZED VIEW " + view);
    if (chance(50)) {
      const std::string index = name("mi");
      own("CREATE INDEX {} ON {} ((md5(({}.*)::text)))", quoted(index), view,
          quoted(called));
      comment("INDEX " + quoted(schema) + "." + quoted(index));
    }
    if (chance(40))
      own("GRANT SELECT ON {} TO {} WITH GRANT OPTION", view, roles_.reader);
    if (chance(30)) {
      as(roles_.reader, "GRANT SELECT ON {} TO {}", view, roles_.stranger);
    }
    if (chance(20)) {
      own("CREATE MATERIALIZED VIEW {} AS SELECT count(*) AS n FROM {}",
          in_schema("mmv"), view);
    }
  }

  void functions(const Table& t) {
    const std::string a = quoted(t.a);
    const std::string k = quoted(t.key);
    const int count = random_.below(4);
    for (int i = 0; i < count; ++i) {
      const std::string function = in_schema("f");
      const std::string role = chance(75) ? roles_.owner : roles_.keeper;
      if (role == roles_.keeper) own("GRANT ALL ON {} TO {}", t.q(), role);
      std::string signature;
      bool procedure = false;
      switch (random_.below(7)) {
        case 0:
          signature = "(lowest int)";
          as(role,
             "CREATE FUNCTION {}(lowest int DEFAULT 0) RETURNS bigint "
             "LANGUAGE sql STABLE PARALLEL SAFE COST 7 BEGIN ATOMIC "
             "SELECT sum({}) FROM {} WHERE {} >= lowest; END",
             function, a, t.q(), a);
          break;
        case 1:
          signature = "()";
          procedure = true;
          as(role,
             "CREATE PROCEDURE {}() LANGUAGE sql BEGIN ATOMIC UPDATE {} "
             "SET {} = {} + 1 WHERE {} = 1; INSERT INTO plain.log SELECT "
             "{}::text FROM {}; END",
             function, t.q(), a, a, k, a, t.q());
          break;
        case 2:
          signature = "(int)";
          as(role,
             "CREATE FUNCTION {}(than int) RETURNS TABLE (k bigint, w text) "
             "LANGUAGE sql SECURITY DEFINER SET search_path = plain SET "
             "work_mem = '8MB' ROWS 7 BEGIN ATOMIC SELECT {}, {} FROM {} "
             "t WHERE t.{} > $1; END",
             function, k, quoted(t.w), t.q(), a);
          break;
        case 3:
          signature = "(int, text)";
          as(role,
             "CREATE FUNCTION {}(x int, OUT y int, INOUT z text DEFAULT "
             "'q') LANGUAGE sql BEGIN ATOMIC SELECT {}, $2 AS z FROM {} LIMIT "
             "1; END",
             function, a, t.q());
          break;
        case 4:
          signature = "()";
          as(role,
             "CREATE FUNCTION {}() RETURNS int LANGUAGE sql RETURN "
             "(SELECT count(*) FROM {})",
             function, t.q());
          break;
        case 5:
          signature = "()";
          as(role,
             "CREATE FUNCTION {}() RETURNS bigint LANGUAGE plpgsql AS $$ "
             "BEGIN RETURN (SELECT count(*) FROM {}); END $$",
             function, t.q());
          break;
        default:
          signature = "()";
          if (views_.empty()) continue;
          as(role,
             "CREATE FUNCTION {}() RETURNS bigint LANGUAGE sql BEGIN "
             "ATOMIC SELECT count(*) FROM {}, {}; END",
             function, random_.pick(views_), t.q());
      }
      const std::string object = fmt::format(
          "{} {}{}", procedure ? "PROCEDURE" : "FUNCTION", function, signature);
      if (chance(40)) as(role, "COMMENT ON {} IS 'does it'", object);
      if (chance(40)) as(role, "REVOKE ALL ON {} FROM PUBLIC", object);
      if (chance(30))
        as(role, "GRANT EXECUTE ON {} TO {} WITH GRANT OPTION", object,
           roles_.reader);
      if (chance(20))
        as(roles_.reader, "GRANT EXECUTE ON {} TO {}", object, roles_.stranger);
      if (chance(5)) {
        as(role, "ALTER {} DEPENDS ON EXTENSION plpgsql", object);
      }
      if (signature == "()" && !procedure && chance(30)) {
        as(role, "CREATE VIEW {} AS SELECT {}() AS n", in_schema("vf"),
           function);
      }
      if (signature == "()" && !procedure && chance(30)) {
        as(roles_.keeper, "CREATE POLICY {} ON plain.listed USING ({}() >= 0)",
           quoted(name("by function")), function);
      }
    }
  }

  void rules(const Table& t) {
    const auto rule = [&](const std::string& on, const std::string& role,
                          const std::string& text) {
      const std::string called = name("rule");
      as(role, "CREATE RULE {} AS {}", quoted(called), text);
      if (chance(30)) {
        as(role, "ALTER TABLE {} {} RULE {}", on,
           one_of({"DISABLE", "ENABLE REPLICA", "ENABLE ALWAYS"}),
           quoted(called));
      }
      if (chance(50)) {
        as(role, "COMMENT ON RULE {} ON {} IS 'a rule'", quoted(called), on);
      }
    };
    if (chance(30)) {
      rule(t.q(), roles_.owner,
           fmt::format("ON UPDATE TO {} WHERE {} DO ALSO INSERT INTO plain.log "
                       "VALUES ('rule', NEW.{})",
                       t.q(), condition(t, "NEW."), quoted(t.a)));
    }
    if (chance(20)) {
      rule(t.q(), roles_.owner,
           fmt::format("ON DELETE TO {} DO ALSO NOTIFY gone", t.q()));
    }
    if (chance(15)) {
      rule(
          t.q(), roles_.owner,
          fmt::format("ON INSERT TO {} WHERE NEW.{} = 77 DO INSTEAD (UPDATE "
                      "{} SET {} = 5 WHERE {} = NEW.{}; DELETE FROM plain.log)",
                      t.q(), quoted(t.a), t.q(), quoted(t.b), quoted(t.a),
                      quoted(t.a)));
    }
    if (!direct_.empty() && chance(20)) {
      rule(t.q(), roles_.owner,
           fmt::format("ON UPDATE TO {} DO ALSO INSERT INTO plain.log SELECT "
                       "w, k FROM {} d WHERE d.k = NEW.{}",
                       t.q(), direct_, quoted(t.key)));
    }
    if (chance(25)) {
      rule("plain.log", roles_.owner,
           fmt::format("ON DELETE TO plain.log DO ALSO UPDATE {} SET {} = 4 "
                       "WHERE {} = OLD.number",
                       t.q(), quoted(t.a), quoted(t.key)));
    }
    if (!direct_.empty() && chance(20)) {
      rule("plain.log", roles_.owner,
           fmt::format("ON UPDATE TO plain.log WHERE OLD.number IN (SELECT k "
                       "FROM {}) DO INSTEAD NOTHING",
                       direct_));
    }
  }

  std::string to_roles() {
    switch (random_.below(4)) {
      case 0:
        return "PUBLIC";
      case 1:
        return roles_.reader;
      case 2:
        return roles_.reader + ", " + roles_.stranger;
      default:
        return roles_.owner + ", " + roles_.keeper;
    }
  }

  void policies(const Table& t) {
    const int count = random_.below(4);
    for (int i = 0; i < count; ++i) {
      const std::string policy = name("policy");
      const std::string command =
          one_of({"ALL", "SELECT", "UPDATE", "INSERT", "DELETE"});
      std::string text = fmt::format(
          "CREATE POLICY {} ON {} AS {} FOR {} TO {}", quoted(policy), t.q(),
          chance(75) ? "PERMISSIVE" : "RESTRICTIVE", command, to_roles());
      if (command != "INSERT") text += " USING (" + far_condition(t) + ")";
      if (command != "SELECT" && command != "DELETE" && chance(70)) {
        text += " WITH CHECK (" + far_condition(t) + ")";
      }
      own("{}", text);
      comment(fmt::format("POLICY {} ON {}", quoted(policy), t.q()));
    }
    if (chance(30)) own("ALTER TABLE {} ENABLE ROW LEVEL SECURITY", t.q());
    if (chance(8)) own("ALTER TABLE {} FORCE ROW LEVEL SECURITY", t.q());
    if (chance(30)) {
      const std::string policy = name("policy");
      own("GRANT SELECT ON {} TO {}", t.q(), roles_.keeper);
      as(roles_.keeper,
         "CREATE POLICY {} ON plain.listed TO {} USING (x IN (SELECT {} FROM "
         "{})){}",
         quoted(policy), to_roles(), quoted(t.key), t.q(),
         chance(50) ? " WITH CHECK (x > 0)" : "");
      as(roles_.keeper, "COMMENT ON POLICY {} ON plain.listed IS 'listed'",
         quoted(policy));
      as(roles_.keeper, "ALTER TABLE plain.listed ENABLE ROW LEVEL SECURITY");
    }
    if (!direct_.empty() && chance(20)) {
      own("GRANT SELECT ON {} TO {}", direct_, roles_.keeper);
      as(roles_.keeper,
         "CREATE POLICY {} ON plain.listed USING (x IN (SELECT k FROM {}))",
         quoted(name("policy")), direct_);
    }
  }

  void rights(const Table& t) {
    if (chance(60)) {
      own("GRANT SELECT, INSERT ON {} TO {} WITH GRANT OPTION", t.q(),
          roles_.reader);
      if (chance(50)) {
        as(roles_.reader, "GRANT SELECT ON {} TO {}", t.q(), roles_.stranger);
      }
    }
    if (chance(40)) {
      own("GRANT UPDATE ({}, {}), REFERENCES ({}) ON {} TO {} WITH GRANT "
          "OPTION",
          quoted(t.a), quoted(t.w), quoted(t.key), t.q(), roles_.reader);
      if (chance(50)) {
        as(roles_.reader, "GRANT UPDATE ({}) ON {} TO {} WITH GRANT OPTION",
           quoted(t.a), t.q(), roles_.stranger);
        if (chance(6))
          as(roles_.stranger, "GRANT UPDATE ({}) ON {} TO {}", quoted(t.a),
             t.q(), "PUBLIC");
      }
    }
    if (chance(25))
      own("GRANT SELECT ({}) ON {} TO PUBLIC", quoted(t.key), t.q());
    if (chance(25))
      own("GRANT DELETE, TRUNCATE, TRIGGER ON {} TO {}", t.q(),
          roles_.stranger);
    if (chance(20)) own("REVOKE TRUNCATE ON {} FROM {}", t.q(), roles_.owner);
    if (chance(10)) own("REVOKE ALL ON {} FROM {}", t.q(), roles_.stranger);
    if (version_ >= 17 && chance(25)) {
      own("GRANT MAINTAIN ON {} TO {} WITH GRANT OPTION", t.q(), roles_.reader);
    }
    if (chance(40)) {
      own("DO $$ DECLARE s text; BEGIN SELECT pg_get_serial_sequence('{}', "
          "'{}') INTO s; IF s IS NULL THEN RETURN; END IF; "
          "EXECUTE format('GRANT USAGE ON SEQUENCE %s TO %s WITH GRANT "
          "OPTION', s, '{}'); EXECUTE 'COMMENT ON SEQUENCE ' || s || ' IS "
          "''counts'''; "
          "END $$",
          doubled(t.q()), doubled(t.key), doubled(roles_.reader));
    }
  }

  void publications(const Table& t) {
    const int count = random_.below(3);
    for (int i = 0; i < count; ++i) {
      const std::string publication = name("pub");
      std::string rest;
      if (version_ >= 15) {
        if (chance(40)) {
          rest += fmt::format(" ({}, {}, {})", quoted(t.key), quoted(t.w),
                              quoted(t.a));
        }
        if (chance(30)) rest += fmt::format(" WHERE ({} > 3)", quoted(t.key));
      }
      own("CREATE PUBLICATION {} FOR TABLE {}{}{}{}", quoted(publication),
          chance(30) ? "plain.parent, " : "", t.q(), rest,
          chance(50) ? " WITH (publish = 'insert')" : "");
      comment("PUBLICATION " + quoted(publication));
    }
  }

  void comments(const Table& t) {
    comment("TABLE " + t.q());
    for (const std::string& column : {t.a, t.w, t.key, t.spare, t.wide}) {
      comment(fmt::format("COLUMN {}.{}", t.q(), quoted(column)));
    }
  }

  // What refers to it.
  void elsewhere(const Table& t) {
    const Table& other = tables_.back();
    if (chance(40)) {
      const std::string child = in_schema("child");
      const std::string role = someone();
      if (role == roles_.keeper) {
        own("GRANT REFERENCES, SELECT ON {} TO {}", t.q(), role);
      }
      as(role, "CREATE TABLE {} (id int PRIMARY KEY, r bigint)", child);
      as(role, "INSERT INTO {} VALUES (1, 1), (2, 2), (3, NULL)", child);
      const std::string key = name("fk");
      as(role,
         "ALTER TABLE {} ADD CONSTRAINT {} FOREIGN KEY (r) REFERENCES {} "
         "({}){}{}{}",
         child, quoted(key), t.q(), quoted(t.key), actions(), deferrable(),
         chance(20) ? " NOT VALID" : "");
      as(role, "COMMENT ON CONSTRAINT {} ON {} IS 'down'", quoted(key), child);
    }
    if (&t != &other && chance(60)) {
      own("ALTER TABLE {} ADD CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} "
          "({}){}{}",
          other.q(), quoted(name("between")), quoted(other.full), t.q(),
          quoted(t.key), actions(), deferrable());
      if (chance(50)) {
        own("CREATE VIEW {} AS SELECT x.{} AS one, y.{} AS two FROM {} x JOIN "
            "{} y ON x.{} = y.{}",
            in_schema("both"), quoted(t.a), quoted(other.a), t.q(), other.q(),
            quoted(t.key), quoted(other.key));
      }
      if (chance(30)) {
        own("CREATE POLICY {} ON {} USING ({} IN (SELECT {} FROM {}))",
            quoted(name("policy")), other.q(), quoted(other.key), quoted(t.key),
            t.q());
      }
      if (chance(30)) {
        own("CREATE RULE {} AS ON UPDATE TO {} DO ALSO UPDATE {} SET {} = {} "
            "WHERE {} = NEW.{}",
            quoted(name("rule")), other.q(), t.q(), quoted(t.b), quoted(t.b),
            quoted(t.key), quoted(other.key));
      }
    }
  }

  // As the server would call something of the table, or we.
  void names_that_clash() {
    const Table& t = tables_.front();
    Texts all = {t.name + "_pkey",
                 t.name + "_" + t.a + "_idx",
                 t.name + "_" + t.a + "_idx1",
                 t.name + "_" + t.key + "_seq1",
                 t.name + "_old",
                 t.name + "_check",
                 t.name + "_expr_idx"};
    for (const std::string& one : all) {
      if (!chance(20)) continue;
      switch (random_.below(3)) {
        case 0:
          own("CREATE TABLE {}.{} (i int)", quoted(t.schema), quoted(one));
          break;
        case 1:
          own("CREATE SEQUENCE {}.{}", quoted(t.schema), quoted(one));
          break;
        default:
          own("CREATE TYPE {}.{} AS ENUM ('a')", quoted(t.schema), quoted(one));
      }
    }
    if (chance(10))
      own("CREATE TYPE {}.{} AS ENUM ('a')", quoted(t.schema),
          quoted("_" + t.name));
  }

  // The sequence of one identity as the server would call another's.
  void identities_that_clash() {
    if (chance(80)) return;
    own("DO $$ DECLARE s record; BEGIN FOR s IN SELECT c.oid::regclass AS seq, "
        "t.relname, (SELECT min(o.attname) FROM pg_attribute o WHERE "
        "o.attrelid "
        "= t.oid AND o.attidentity <> '' AND o.attnum <> a.attnum) AS other "
        "FROM pg_class c JOIN pg_depend d ON d.objid = c.oid AND d.deptype = "
        "'i' JOIN pg_class t ON t.oid = d.refobjid JOIN pg_attribute a ON "
        "a.attrelid = t.oid AND a.attnum = d.refobjsubid WHERE c.relkind = 'S' "
        "LOOP IF s.other IS NULL THEN CONTINUE; END IF; EXECUTE format('ALTER "
        "SEQUENCE %s RENAME TO %I', s.seq, s.relname || '_' || s.other || "
        "'_seq'); EXIT; END LOOP; END $$");
  }

  void refresh() {
    for (const std::string& view : materialized_) {
      own("DO $$ BEGIN IF (SELECT relispopulated FROM pg_class WHERE oid = "
          "'{0}'::regclass) THEN REFRESH MATERIALIZED VIEW {0}; END IF; END $$",
          view);
    }
  }

  void change(const Table& t, Texts& script) {
    const auto alter = [&](const std::string& rest) {
      script.push_back(fmt::format("ALTER TABLE {} {}", t.q(), rest));
    };
    const auto column = [&](const std::string& called) {
      return "ALTER " + quoted(called) + " ";
    };
    const Type& type = random_.pick(types());
    switch (random_.below(16)) {
      case 0:
        return alter("SET (fillfactor = 71)");
      case 1:
        return alter(column(t.wide) + "TYPE bigint");
      case 2:
        return alter(column(t.a) + "TYPE bigint");
      case 3:
        return alter(fmt::format("RENAME {} TO {}",
                                 quoted(pick<std::string>({t.a, t.w, t.key})),
                                 quoted(name("renamed"))));
      case 4:
        // Neither now() nor a random value is the same when it is done by hand.
        return alter(fmt::format(
            "ADD {} {}{}", quoted(name("added")), type.name,
            chance(50) && std::string_view(type.constant).find("()") ==
                              std::string_view::npos
                ? fmt::format(" DEFAULT {}", type.constant)
                : ""));
      case 5:
        return alter("DROP " + quoted(t.spare));
      case 6:
        return alter(column(t.full) + "SET NOT NULL");
      case 7:
        script.push_back(fmt::format("CREATE INDEX {} ON {} ({})",
                                     chance(50) ? quoted(name("new")) : "",
                                     t.q(), quoted(t.b)));
        return;
      case 8:
        return alter(fmt::format("ADD {} int DEFAULT 3, DROP {}, {}TYPE bigint",
                                 quoted(name("added")), quoted(t.spare),
                                 column(t.wide)));
      case 9:  // Each gets the name of the other.
        alter(fmt::format("RENAME {} TO between", quoted(t.a)));
        alter(fmt::format("RENAME {} TO {}", quoted(t.b), quoted(t.a)));
        return alter(fmt::format("RENAME between TO {}", quoted(t.b)));
      case 10:
        return alter(column(t.wide) +
                     one_of({"SET DEFAULT 77", "DROP DEFAULT",
                             "SET STATISTICS 5", "DROP NOT NULL"}));
      case 11:
        return alter(fmt::format(
            "ADD {}CHECK ({} > -5000)",
            chance(50) ? fmt::format("CONSTRAINT {} ", quoted(name("new")))
                       : "",
            quoted(t.b)));
      case 12:
        return alter(
            fmt::format("ADD UNIQUE ({}, {})", quoted(t.key), quoted(t.wide)));
      case 13:
        return alter(fmt::format("ADD FOREIGN KEY ({}) REFERENCES plain.parent",
                                 quoted(t.up)));
      case 14:
        script.push_back(
            fmt::format("GRANT SELECT ({}), UPDATE ({}) ON {} TO "
                        "{}",
                        quoted(t.a), quoted(t.wide), t.q(), roles_.stranger));
        return alter(column(t.wide) + "TYPE bigint");
      default:
        script.push_back(fmt::format("COMMENT ON COLUMN {}.{} IS 'new'", t.q(),
                                     quoted(t.w)));
        return alter("SET (fillfactor = 71)");
    }
  }

  Texts script() {
    Texts text;
    for (const Table& t : tables_) {
      if (&t != &tables_.front() && chance(30)) continue;
      change(t, text);
      if (chance(25)) change(t, text);
    }
    return text;
  }

  Random random_;
  int version_;
  RandomRoles roles_;
  RandomDatabase made_;
  std::vector<Table> tables_;
  std::vector<Extra> extras_;
  Texts views_;
  Texts materialized_;
  std::string direct_;
  std::string on_view_;
  std::set<std::string> words_;
  int count_ = 0;
};

// NOLINTEND(readability-function-size,readability-function-cognitive-complexity,readability-braces-around-statements,performance-no-automatic-move,modernize-use-emplace,modernize-raw-string-literal,modernize-pass-by-value)

}  // namespace

RandomDatabase random_database(std::uint64_t seed, int version,
                               const RandomRoles& roles) {
  return Maker(seed, version, roles).make();
}

}  // namespace pgrecast::test
