#include "value_rules.h"

#include "pgrecast/base/text.h"
#include "pgrecast/pg/errors.h"
#include "pgrecast/pg/quote.h"
#include "pgrecast/script/script_error.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <variant>

namespace pgrecast::plan {
namespace {

using script::Replacement;

// Stable built-in functions that depend on nothing but their arguments and the
// settings that are recorded with the migration (TimeZone, DateStyle, lc_time,
// ..). Left out on purpose are those that ask for the present, by which an
// offset in daylight saving time is found (timetz(time), timezone(text,
// timetz)), age() of one argument, and what reads 'now' in a text (date_in).
constexpr std::array kBySettings{"date",
                                 "date_add",
                                 "date_out",
                                 "date_part",
                                 "date_subtract",
                                 "date_trunc",
                                 "enum_out",
                                 "extract",
                                 "interval_out",
                                 "interval_pl_timestamptz",
                                 "make_timestamptz",
                                 "overlaps",
                                 "time",
                                 "timestamp",
                                 "timestamp_out",
                                 "timestamptz",
                                 "timestamptz_mi_interval",
                                 "timestamptz_out",
                                 "timestamptz_pl_interval",
                                 "timetz",
                                 "to_char",
                                 "to_date",
                                 "to_number",
                                 "to_timestamp"};
constexpr std::array kComparisons{"cmp", "eq", "ge", "gt", "le", "lt", "ne"};
constexpr std::array kComparedTypes{
    std::pair{"date", "timestamptz"}, std::pair{"timestamp", "timestamptz"},
    std::pair{"timestamptz", "date"}, std::pair{"timestamptz", "timestamp"}};

bool is_by_settings(const std::string& name, const std::string& signature) {
  if (signature == "timetz(time without time zone)") return false;
  if (std::ranges::find(kBySettings, name) != kBySettings.end()) return true;
  for (const auto& [left, right] : kComparedTypes) {
    for (const char* comparison : kComparisons) {
      if (name == fmt::format("{}_{}_{}", left, comparison, right)) return true;
    }
  }
  return false;
}

// Stable built-in functions that are so only since they write their arguments
// as text.
bool writes_arguments(const std::string& name) {
  constexpr std::array kWriting{"anytextcat",        "array_to_json",
                                "array_to_string",   "concat",
                                "concat_ws",         "format",
                                "json_build_array",  "json_build_object",
                                "jsonb_build_array", "jsonb_build_object",
                                "quote_literal",     "quote_nullable",
                                "textanycat",        "to_json",
                                "to_jsonb"};
  return std::ranges::find(kWriting, name) != kWriting.end();
}

std::string remedy_for_builtin(const std::string& name, char volatility) {
  if (name == "clock_timestamp" || name == "timeofday") {
    return "write now(), which is one moment for the whole migration";
  }
  if (volatility == 'v') {
    return "make it the DEFAULT of a column that ADD COLUMN adds, which gives "
           "each row a value of its own; or set it by hand after the migration";
  }
  if (name == "enum_in") {
    return "cast the constants themselves, as in CASE WHEN a THEN "
           "'ok'::mood ELSE 'sad'::mood END; or, where no label is renamed "
           "meanwhile, --assume-immutable enum_in";
  }
  if (name.ends_with("_in")) {
    return fmt::format(
        "name the form, as in to_date(x, 'YYYY-MM-DD') or to_timestamp(x, "
        "'YYYY-MM-DD HH24:MI:SS'); or, where no row says 'now' or 'today', "
        "--assume-immutable {}",
        name);
  }
  return "use immutable functions only; for time zones write AT TIME ZONE with "
         "the zone's name";
}

// The types of which a value of type $1 consists, as far as they are written
// and read by functions of their own, and these functions.
constexpr const char* kTextFunctions = R"sql(
WITH RECURSIVE made_of(oid, next) AS (
  SELECT t.oid, CASE WHEN t.typtype = 'd' THEN t.typbasetype
                     WHEN t.typcategory = 'A' AND t.typelem <> 0 THEN t.typelem
                     WHEN t.typtype = 'r' THEN r.rngsubtype
                     WHEN t.typtype = 'm' THEN m.rngtypid END
  FROM pg_catalog.pg_type t
  LEFT JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid
  LEFT JOIN pg_catalog.pg_range m ON m.rngmultitypid = t.oid),
part(oid, next) AS (
  SELECT oid, next FROM made_of WHERE oid = $1::pg_catalog.oid
 UNION
  SELECT m.oid, m.next FROM part JOIN made_of m ON m.oid = part.next)
SELECT pg_catalog.format_type(t.oid, NULL),
       (CASE WHEN $2 THEN t.typinput ELSE t.typoutput END)::pg_catalog.oid,
       t.oid = $1::pg_catalog.oid
FROM part JOIN pg_catalog.pg_type t ON t.oid = part.oid
WHERE part.next IS NULL)sql";

// What a keyword gives is now() in another type.
std::optional<std::string> type_of_keyword(const script::SqlValueUse& use,
                                           std::string_view text) {
  std::string precision;
  if (const auto open = text.find('('); open != std::string_view::npos) {
    precision = "(";
    for (const char c : text.substr(open)) {
      if (c >= '0' && c <= '9') precision += c;
    }
    precision += ")";
  }
  if (use.keyword == "CURRENT_DATE") return "pg_catalog.date";
  if (use.keyword == "CURRENT_TIME") {
    return fmt::format("time{} with time zone", precision);
  }
  if (use.keyword == "CURRENT_TIMESTAMP") {
    return fmt::format("timestamp{} with time zone", precision);
  }
  if (use.keyword == "LOCALTIME") {
    return fmt::format("time{} without time zone", precision);
  }
  if (use.keyword == "LOCALTIMESTAMP") {
    return fmt::format("timestamp{} without time zone", precision);
  }
  return std::nullopt;
}

// Where the server finds fault with the expression, the error says where in it.
void exec_around(pg::Connection& connection, const std::string& before,
                 const std::string& expression, const std::string& after) {
  try {
    connection.exec(before + expression + after);
  } catch (const pg::SqlError& error) {
    pg::SqlError::Fields fields = error.fields();
    const std::size_t first = script::count_characters(before);
    const std::size_t last = first + script::count_characters(expression);
    fields.position = fields.position > first && fields.position <= last
                          ? fields.position - first
                          : 0;
    throw pg::SqlError(std::move(fields));
  }
}

}  // namespace

ValueRules::ValueRules(pg::Connection& connection, ScriptSettings& settings,
                       const FoldRules& rules)
    : connection_(&connection), settings_(&settings), rules_(&rules) {}

// Computed under the script's settings and printed under those that every
// setting reads alike: the second CTE reads the first, which is computed by
// then.
std::optional<std::string> ValueRules::evaluated(
    const std::string& expression) {
  settings_->enter(settings_->now());
  const pg::Result result = connection_->exec(fmt::format(
      R"sql(
WITH value AS MATERIALIZED (SELECT ({}
) AS x),
printing AS MATERIALIZED (
  SELECT pg_catalog.set_config('datestyle', 'ISO, YMD', true),
         pg_catalog.set_config('intervalstyle', 'postgres', true),
         pg_catalog.set_config('extra_float_digits', '3', true),
         pg_catalog.set_config('bytea_output', 'hex', true),
         pg_catalog.set_config('search_path', '', true)
  FROM value)
SELECT x::pg_catalog.text,
       pg_catalog.format_type(pg_catalog.pg_typeof(x)::pg_catalog.oid, NULL)
FROM value, printing)sql",
      expression));
  settings_->leave();
  if (result.is_null(0, 0)) return std::nullopt;
  return fmt::format("CAST({} AS {})", pg::quote_literal(result.text(0, 0)),
                     result.text(0, 1));
}

// As the script's search_path finds it: somebody may have a now() of his own.
bool ValueRules::is_now(const script::FunctionUse& use,
                        const std::string& call) {
  constexpr std::array kNow{"now", "transaction_timestamp",
                            "statement_timestamp"};
  const std::string& name = use.function.name;
  if (std::ranges::find(kNow, name) == kNow.end()) return false;
  const std::size_t open = call.find('(');
  if (call.find_first_not_of(" \t\r\n", open + 1) != call.size() - 1) {
    return false;
  }
  std::string written = pg::quote_identifier(name) + "()";
  if (use.function.schema) {
    written = pg::quote_identifier(*use.function.schema) + "." + written;
  }
  settings_->enter(settings_->now());
  const pg::Result found = connection_->exec(
      "SELECT pg_catalog.to_regprocedure($1) OPERATOR(pg_catalog.=)"
      " pg_catalog.to_regprocedure('pg_catalog.' || $2 || '()')",
      {written, name});
  settings_->leave();
  return !found.is_null(0, 0) && found.boolean(0, 0);
}

std::vector<Replacement> ValueRules::frozen(
    const script::Script& script, const script::Expression& expression) {
  std::vector<Replacement> parts;
  const std::string now = fmt::format("CAST({} AS pg_catalog.timestamptz)",
                                      pg::quote_literal(rules_->now));
  for (const script::FunctionUse& use : expression.facts.functions) {
    if (!use.call || !is_now(use, std::string(script.slice(*use.call)))) {
      continue;
    }
    parts.push_back({.span = *use.call, .text = " " + now + " "});
    froze_ = true;
  }
  for (const script::SqlValueUse& use : expression.facts.sql_values) {
    const std::string text(script.slice(use.span));
    const auto type = type_of_keyword(use, text);
    std::string value;
    if (type) {
      const auto at = evaluated(fmt::format("CAST({} AS {})", now, *type));
      // The precision is the value's, too.
      value = fmt::format("CAST({} AS {})", at.value(), *type);
      froze_ = true;
    } else {
      value = evaluated(text).value_or("CAST(NULL AS pg_catalog.name)");
    }
    parts.push_back({.span = use.span, .text = " " + value + " "});
  }
  return parts;
}

// The server decides: an index may only hold immutable expressions, in its
// predicate too, where their type does not matter.
bool ValueRules::is_immutable(const catalog::QualifiedName& table,
                              const std::string& expression) {
  connection_->exec("SAVEPOINT immutable");
  bool immutable = true;
  try {
    settings_->enter(settings_->now());
    exec_around(*connection_,
                fmt::format("CREATE INDEX ON {} ((0)) WHERE (", table.quoted()),
                expression, "\n) IS NULL");
  } catch (const pg::SqlError& error) {
    connection_->exec("ROLLBACK TO SAVEPOINT immutable");
    // invalid_object_definition: "functions in index predicate must be marked
    // IMMUTABLE". Anything else is wrong with the expression itself.
    if (error.sqlstate() != "42P17") throw;
    immutable = false;
  }
  connection_->exec("ROLLBACK TO SAVEPOINT immutable");
  return immutable;
}

// Built-in functions leave no trace in pg_depend; what the server stores of a
// view has them all.
std::vector<NodeUse> ValueRules::uses_of(const catalog::QualifiedName& table,
                                         const std::string& expression) {
  const catalog::QualifiedName view{.schema = table.schema,
                                    .name = "pgrecast expression"};
  connection_->exec("SAVEPOINT uses");
  settings_->enter(settings_->now());
  exec_around(*connection_,
              fmt::format("CREATE VIEW {} AS SELECT (", view.quoted()),
              expression,
              fmt::format("\n) IS NULL AS is_null FROM {} AS {}",
                          table.quoted(), pg::quote_identifier(table.name)));
  settings_->leave();
  const pg::Result tree = connection_->exec(
      "SELECT ev_action::pg_catalog.text FROM pg_catalog.pg_rewrite"
      " WHERE ev_class = $1::pg_catalog.regclass",
      {view.quoted()});
  std::vector<NodeUse> uses = read_uses(tree.text(0, 0));
  connection_->exec("ROLLBACK TO SAVEPOINT uses");
  return uses;
}

ValueRules::Function ValueRules::read_function(Oid oid) {
  const pg::Result result = connection_->exec(
      "SELECT p.oid::pg_catalog.regprocedure, p.proname, p.provolatile,"
      " n.nspname = 'pg_catalog' AND p.oid < 16384"
      " FROM pg_catalog.pg_proc p"
      " JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace"
      " WHERE p.oid = $1::pg_catalog.oid",
      {oid});
  Function unknown;
  unknown.signature = "a function that is gone";
  if (result.empty()) return unknown;
  return {.signature = std::string(result.text(0, 0)),
          .name = std::string(result.text(0, 1)),
          .volatility = result.text(0, 2).front(),
          .builtin = result.boolean(0, 3)};
}

Oid ValueRules::find_function(const std::string& name) {
  const char* const query =
      name.find('(') == std::string::npos
          ? "SELECT pg_catalog.to_regproc($1)::pg_catalog.oid"
          : "SELECT pg_catalog.to_regprocedure($1)::pg_catalog.oid";
  connection_->exec("SAVEPOINT assumed");
  Oid oid = 0;
  try {
    settings_->enter(settings_->now());
    const pg::Result found = connection_->exec(query, {name});
    if (!found.is_null(0, 0)) oid = found.number<Oid>(0, 0);
  } catch (const pg::SqlError&) {  // no name at all
    oid = 0;
  }
  connection_->exec("ROLLBACK TO SAVEPOINT assumed");
  return oid;
}

void ValueRules::find_assumed() {
  if (std::exchange(assumed_found_, true)) return;
  for (const std::string& name : rules_->assume_immutable) {
    const Oid oid = find_function(name);
    if (oid == 0) {
      throw Refused(
          fmt::format("--assume-immutable {}: there is no such function, or "
                      "more than one",
                      name),
          "correct the name, qualify it with its schema, or add the types of "
          "its arguments, as in f(integer)");
    }
    const Function function = read_function(oid);
    if (function.builtin && function.volatility == 'v') {
      throw Refused(
          fmt::format("--assume-immutable {}: this is volatile by its nature",
                      function.signature),
          remedy_for_builtin(function.name, 'v'));
    }
    assumed_[oid] = function.signature;
  }
}

bool ValueRules::passes(Oid oid, const Function& function) {
  if (function.volatility == 'i') return true;
  if (function.builtin && function.volatility == 's' &&
      is_by_settings(function.name, function.signature)) {
    ++passed_;
    return true;
  }
  find_assumed();
  if (!assumed_.contains(oid)) return false;
  let_pass_.insert(oid);
  ++passed_;
  return true;
}

std::optional<ValueRules::Problem> ValueRules::problem_of_type(Oid type,
                                                               bool input) {
  const pg::Result functions =
      connection_->exec(kTextFunctions, {type, input ? "t" : "f"});
  for (int row = 0; row < functions.rows(); ++row) {
    const Oid oid = functions.number<Oid>(row, 1);
    const Function function = read_function(oid);
    if (passes(oid, function)) {
      // array_out is stable, for the sake of what it is made of.
      if (!functions.boolean(row, 2)) ++passed_;
      continue;
    }
    return Problem{
        .refusal = {fmt::format(
                        "{} {} uses {}, which is {}: the value may be another "
                        "one each time",
                        input ? "reading a text as" : "writing as a text",
                        functions.text(row, 0), function.signature,
                        function.volatility == 'v' ? "volatile" : "stable"),
                    remedy_for_builtin(function.name, function.volatility)},
        .function = ""};
  }
  return std::nullopt;
}

Oid ValueRules::called_by(const NodeUse& use) {
  if (use.kind != NodeUse::Kind::kOperator) return use.oid;
  const pg::Result code = connection_->exec(
      "SELECT oprcode::pg_catalog.oid FROM pg_catalog.pg_operator"
      " WHERE oid = $1::pg_catalog.oid",
      {use.oid});
  return code.empty() ? 0 : code.number<Oid>(0, 0);
}

std::optional<ValueRules::Problem> ValueRules::problem_of_function(
    const NodeUse& use) {
  const Oid oid = called_by(use);
  const Function function = read_function(oid);
  if (passes(oid, function)) return std::nullopt;
  if (function.builtin && function.volatility == 's' &&
      writes_arguments(function.name)) {
    for (const Oid type : use.arguments) {
      if (auto problem = problem_of_type(type, false)) return problem;
    }
    ++passed_;
    return std::nullopt;
  }
  const std::string remedy =
      function.builtin
          ? remedy_for_builtin(function.name, function.volatility)
          : fmt::format(
                "mark it IMMUTABLE if that is what it is; or vouch for "
                "it: --assume-immutable '{}'",
                function.signature);
  return Problem{
      .refusal = {fmt::format(
                      "{} is {}: it may give another value each time "
                      "it is evaluated, and a row is made anew "
                      "whenever it changes",
                      function.signature,
                      function.volatility == 'v' ? "volatile" : "stable"),
                  remedy},
      .function = function.name};
}

std::optional<ValueRules::Problem> ValueRules::problem_of(const NodeUse& use) {
  switch (use.kind) {
    case NodeUse::Kind::kFunction:
    case NodeUse::Kind::kOperator:
      return problem_of_function(use);
    case NodeUse::Kind::kInput:
      return problem_of_type(use.oid, true);
    case NodeUse::Kind::kOutput:
      return problem_of_type(use.oid, false);
    case NodeUse::Kind::kCurrent:
    case NodeUse::Kind::kOther:
      break;
  }
  return Problem{
      .refusal = {fmt::format("the expression may give another value each time "
                              "it is evaluated: it depends on {}",
                              use.what),
                  "write it with immutable functions only"},
      .function = ""};
}

std::optional<ValueRules::Problem> ValueRules::problem(
    const catalog::QualifiedName& table, const std::string& expression) {
  if (is_immutable(table, expression)) return std::nullopt;
  passed_ = 0;
  for (const NodeUse& use : uses_of(table, expression)) {
    if (auto found = problem_of(use)) return found;
  }
  if (passed_ > 0) return std::nullopt;
  return Problem{.refusal = {"the expression may give another value each time "
                             "it is evaluated",
                             "use immutable functions only"},
                 .function = ""};
}

ValueRules::DefaultValue ValueRules::of_default(
    const catalog::QualifiedName& table, const std::string& printed,
    const std::string& tree) {
  if (is_immutable(table, printed)) return {};
  for (const NodeUse& use : read_uses(tree)) {
    const bool calls = use.kind == NodeUse::Kind::kFunction ||
                       use.kind == NodeUse::Kind::kOperator;
    const bool volatile_one =
        use.kind == NodeUse::Kind::kOther ||
        (calls && read_function(called_by(use)).volatility == 'v');
    if (volatile_one) return {.kind = Default::kEachRow, .literal = {}};
  }
  // ADD COLUMN evaluates a stable default once, for all rows.
  std::string text = printed;
  try {
    const script::Script parsed =
        script::Script::parse("UPDATE t SET c = (" + printed + ")", "default");
    const script::Expression& expression =
        std::get<script::Update>(parsed.statements().front().body)
            .assignments.front()
            .expression;
    text = parsed.slice_with(expression.span, frozen(parsed, expression));
  } catch (const script::ScriptError&) {
    // A newer server's words: evaluated as it stands.
    text = printed;
  }
  return {.kind = Default::kOnce, .literal = evaluated(text)};
}

std::vector<std::string> ValueRules::notes() const {
  if (!froze_) return {};
  return {
      fmt::format("now(), CURRENT_DATE and their like are {} for the whole "
                  "migration",
                  rules_->now)};
}

std::vector<std::string> ValueRules::warnings() const {
  std::vector<std::string> all;
  for (const Oid oid : let_pass_) {
    all.push_back(fmt::format(
        "{} passes as immutable, since --assume-immutable says so: should it "
        "give a row another value later, verification fails, or the new table "
        "keeps whichever came first",
        assumed_.at(oid)));
  }
  return all;
}

}  // namespace pgrecast::plan
