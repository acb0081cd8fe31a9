// A migration whose every name is hostile: each is there afterwards under its
// name, as by hand, and no other object has changed.

#include "scenarios/carried/operation.h"

#include <fmt/format.h>

#include <string>
#include <vector>

namespace pgrecast::test {
namespace {

std::string doubled(const std::string& text, char quote) {
  std::string result(1, quote);
  for (const char c : text) {
    if (c == quote) result += c;
    result += c;
  }
  return result + quote;
}

// Written apart from those of the program.
std::string identifier(const std::string& name) {
  return doubled(name, '"');
}
std::string literal(const std::string& text) {
  return doubled(text, '\'');
}

const std::vector<std::string>& hostile() {
  static const std::vector<std::string> all = {
      "\"; DROP TABLE victim; --",
      "'; DROP TABLE victim; --",
      "Upper Case 'q' \"dq\"",
      "back\\slash \\x \\\\ E'",
      "new\nline\ttab\r",
      "$$dollar$1 $tag$ :v ? %s %I {} {0}",
      "日本語 e\xCC\x81 \xF0\x9F\x98\x80 \xE2\x80\xAE",
      "select",
      "a.b.\"c\",(d)[e]/*x*/--",
      // 63 bytes with the letter that tells its kind.
      "\xC3\xA4\xC3\xB6\xC3\xBC" + std::string(56, 'x'),
  };
  return all;
}

const std::string kHostileSchema = "S\"; DROP SCHEMA victim; --\\'$$\n";

// `@X` stands for the quoted name of kind X, `~` for a literal, `#` for the
// quoted schema.
std::string filled(const std::string& pattern, const std::string& schema,
                   const std::string& name) {
  std::string result;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '@') {
      result += identifier(pattern[++i] + name);
    } else if (pattern[i] == '~') {
      result += literal(name);
    } else if (pattern[i] == '#') {
      result += identifier(schema);
    } else {
      result += pattern[i];
    }
  }
  return result;
}

constexpr const char* kSetup = R"sql(
CREATE TABLE #.@T (@k serial CONSTRAINT @p PRIMARY KEY, @a int DEFAULT 1, @n text DEFAULT ~,
  @u int CONSTRAINT @f REFERENCES #.@T, CONSTRAINT @c CHECK (@n <> '' AND @a > 0));
CREATE INDEX @i ON #.@T (lower(@n)) WHERE @n <> ~;
CREATE STATISTICS #.@s ON @a, @n FROM #.@T;
CREATE VIEW #.@V AS SELECT @a AS @g, @n || ~ AS @v FROM #.@T WHERE @n <> ~;
CREATE FUNCTION #.@F() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER @t BEFORE UPDATE OF @n ON #.@T FOR EACH ROW WHEN (NEW.@n = ~)
  EXECUTE FUNCTION #.@F(~);
CREATE POLICY @P ON #.@T TO @R USING (@n <> ~);
COMMENT ON TABLE #.@T IS ~;
COMMENT ON COLUMN #.@T.@u IS ~;
COMMENT ON TRIGGER @t ON #.@T IS ~;
COMMENT ON POLICY @P ON #.@T IS ~;
GRANT SELECT, UPDATE (@a) ON #.@T TO @R;
INSERT INTO #.@T (@n) SELECT ~ || g FROM generate_series(1, 20) AS g;
)sql";

constexpr const char* kScript = R"sql(
ALTER TABLE #.@T ALTER COLUMN @k TYPE bigint, ALTER COLUMN @u TYPE bigint, ADD COLUMN @w text DEFAULT ~,
  ADD CONSTRAINT @l CHECK (@n <> ~) NOT VALID;
UPDATE #.@T SET @n = @n || ~ WHERE @n <> ~;
ALTER TABLE #.@T RENAME COLUMN @a TO @b;
ALTER TABLE #.@T RENAME CONSTRAINT @c TO @d;
ALTER INDEX #.@i RENAME TO @j;
CREATE UNIQUE INDEX @x ON #.@T (@k, (@n || ~));
CREATE STATISTICS #.@z ON @b, (@n || ~) FROM #.@T;
COMMENT ON COLUMN #.@T.@b IS ~;
COMMENT ON CONSTRAINT @d ON #.@T IS ~;
COMMENT ON INDEX #.@x IS ~;
COMMENT ON STATISTICS #.@z IS ~;
REVOKE UPDATE (@b) ON #.@T FROM @R;
GRANT INSERT (@w), DELETE ON #.@T TO @R;
)sql";

class HostileNamesTest : public Operation {
 protected:
  HostileNamesTest() {
    Session superuser = superuser_session();
    for (const std::string& name : hostile()) {
      superuser.exec("CREATE ROLE " + identifier("R" + name));
    }
    for (const std::string& schema :
         {kHostileSchema, std::string("hand"), std::string("victim")}) {
      session().exec("CREATE SCHEMA " + identifier(schema));
      session().exec(of_all(kSetup, schema));
    }
  }

  ~HostileNamesTest() override {
    Session superuser = superuser_session();
    superuser.exec(
        fmt::format("DROP SCHEMA {} CASCADE; DROP SCHEMA hand "
                    "CASCADE; DROP SCHEMA victim CASCADE",
                    identifier(kHostileSchema)));
    for (const std::string& name : hostile()) {
      superuser.exec("DROP OWNED BY " + identifier("R" + name) +
                     "; DROP ROLE " + identifier("R" + name));
    }
  }

  static std::string of_all(const std::string& pattern,
                            const std::string& schema) {
    std::string all;
    for (const std::string& name : hostile()) {
      all += filled(pattern, schema, name);
    }
    return all;
  }

  // Everything in the schema, as the server identifies and prints it.
  Rows facts(const std::string& schema) {
    Session owner = session();
    owner.exec("SET search_path = " + identifier(schema));
    return owner.query_rows(R"sql(
WITH relation AS (SELECT c.* FROM pg_class c WHERE relnamespace = $1::regnamespace
                  AND relkind IN ('r', 'v', 'S', 'i')),
object(classid, objid, definition) AS (
  SELECT 'pg_class'::regclass, oid, concat(relkind, relowner::regrole, ARRAY(
    SELECT a::text FROM unnest(relacl) AS a ORDER BY 1)) FROM relation
  UNION ALL SELECT 'pg_class'::regclass, oid, pg_get_viewdef(oid) FROM relation
    WHERE relkind = 'v'
  UNION ALL SELECT 'pg_class'::regclass, oid, pg_get_indexdef(oid) FROM relation
    WHERE relkind = 'i'
  UNION ALL SELECT 'pg_constraint'::regclass, c.oid, pg_get_constraintdef(c.oid)
    FROM pg_constraint c JOIN relation r ON r.oid = conrelid
  UNION ALL SELECT 'pg_trigger'::regclass, t.oid, pg_get_triggerdef(t.oid)
    FROM pg_trigger t JOIN relation r ON r.oid = tgrelid WHERE NOT tgisinternal
  UNION ALL SELECT 'pg_policy'::regclass, p.oid, pg_get_expr(polqual, polrelid)
    || polroles::regrole[]::text FROM pg_policy p JOIN relation r ON r.oid = polrelid
  UNION ALL SELECT 'pg_statistic_ext'::regclass, s.oid,
    pg_get_statisticsobjdef(s.oid) FROM pg_statistic_ext s
    JOIN relation r ON r.oid = stxrelid),
fact AS (
  SELECT (pg_identify_object(classid, objid, 0)).identity AS identity, definition,
    (SELECT d.description FROM pg_description d WHERE d.classoid = o.classid
       AND d.objoid = o.objid AND d.objsubid = 0) AS comment FROM object o
  UNION ALL
  SELECT format('%s.%s %s', r.relname, attnum, attname), concat_ws(' ',
    format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid),
    ARRAY(SELECT a::text FROM unnest(attacl) AS a ORDER BY 1)),
    col_description(attrelid, attnum)
  FROM pg_attribute JOIN relation r ON r.oid = attrelid
  LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
  WHERE attnum > 0 AND NOT attisdropped)
SELECT replace(identity, $1 || '.', ''), replace(definition, $1 || '.', ''), comment
FROM fact ORDER BY 1, 2, 3)sql",
                            identifier(schema));
  }

  Rows rows(const std::string& schema) {
    Rows all;
    for (const std::string& name : hostile()) {
      for (Row& row : session().query_rows(
               filled("SELECT * FROM #.@T ORDER BY @k", schema, name))) {
        all.push_back(std::move(row));
      }
    }
    return all;
  }
};

TEST_F(HostileNamesTest, AreThereAfterwardsAndNothingElseHasChanged) {
  const Rows victim = facts("victim");
  ASSERT_EQ(facts(kHostileSchema), facts("hand"));
  ASSERT_GT(victim.size(), hostile().size() * 20);
  session().exec(of_all(kScript, "hand"));
  ASSERT_NE(facts(kHostileSchema), facts("hand"));
  const std::string migration =
      "M \"; DROP SCHEMA victim CASCADE; --\\'$$\n日本";

  migrate(migration, of_all(kScript, kHostileSchema));

  EXPECT_EQ(facts(kHostileSchema), facts("hand"));
  EXPECT_EQ(rows(kHostileSchema), rows("hand"));
  EXPECT_EQ(facts("victim"), victim);
  command("finish", migration);
  EXPECT_EQ(facts(kHostileSchema), facts("hand"));
  EXPECT_EQ(facts("victim"), victim);
  EXPECT_EQ(session().query_value("SELECT string_agg(nspname, ' ') FROM "
                                  "pg_namespace WHERE nspname LIKE "
                                  "'pgrecast%'"),
            "(null)");
}

}  // namespace
}  // namespace pgrecast::test
