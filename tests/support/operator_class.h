#pragma once

#include <string>

namespace pgrecast::test {

// A superuser's statements: "O p".ci_ops, a btree operator class over text to
// which texts that differ in case are equal, though not to text's own =. None
// of its operators has one of the usual names. `merges`: = can be merged by.
inline std::string case_insensitive_operator_class(bool merges) {
  std::string sql = R"sql(
CREATE SCHEMA "O p";
CREATE FUNCTION "O p".eq(a text, b text) RETURNS bool LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT lower(a) = lower(b) $$;
CREATE FUNCTION "O p".lt(a text, b text) RETURNS bool LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT lower(a) < lower(b) $$;
CREATE FUNCTION "O p".le(a text, b text) RETURNS bool LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT lower(a) <= lower(b) $$;
CREATE FUNCTION "O p".gt(a text, b text) RETURNS bool LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT lower(a) > lower(b) $$;
CREATE FUNCTION "O p".ge(a text, b text) RETURNS bool LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT lower(a) >= lower(b) $$;
CREATE FUNCTION "O p".cmp(a text, b text) RETURNS int LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT bttextcmp(lower(a), lower(b)) $$;
CREATE OPERATOR "O p".<# (LEFTARG = text, RIGHTARG = text, PROCEDURE = "O p".lt, COMMUTATOR = OPERATOR("O p".>#));
CREATE OPERATOR "O p".<=# (LEFTARG = text, RIGHTARG = text, PROCEDURE = "O p".le);
CREATE OPERATOR "O p".=# (LEFTARG = text, RIGHTARG = text, PROCEDURE = "O p".eq, COMMUTATOR = OPERATOR("O p".=#)%s);
CREATE OPERATOR "O p".>=# (LEFTARG = text, RIGHTARG = text, PROCEDURE = "O p".ge);
CREATE OPERATOR "O p".># (LEFTARG = text, RIGHTARG = text, PROCEDURE = "O p".gt);
CREATE OPERATOR CLASS "O p".ci_ops FOR TYPE text USING btree AS OPERATOR 1 "O p".<#, OPERATOR 2 "O p".<=#,
  OPERATOR 3 "O p".=#, OPERATOR 4 "O p".>=#, OPERATOR 5 "O p".>#, FUNCTION 1 "O p".cmp(text, text);
GRANT USAGE ON SCHEMA "O p" TO PUBLIC)sql";
  return sql.replace(sql.find("%s"), 2, merges ? ", MERGES" : "");
}

}  // namespace pgrecast::test
