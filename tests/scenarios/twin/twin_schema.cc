#include "scenarios/twin/twin_schema.h"

#include <algorithm>

namespace pgrecast::test {
namespace {

constexpr std::size_t kIdentifierBytesMax = 63;  // NAMEDATALEN - 1

std::string quoted(const std::string& text, char quote) {
  std::string out(1, quote);
  for (const char c : text) {
    if (c == quote) out += quote;
    out += c;
  }
  return out + quote;
}

std::string identifier(const std::string& name) {
  return quoted(name, '"');
}

std::string join(const std::vector<std::string>& parts,
                 const std::string& separator) {
  std::string out;
  for (const std::string& part : parts) {
    if (!out.empty()) out += separator;
    out += part;
  }
  return out;
}

std::string integer_or_null(std::optional<int> value) {
  return value ? std::to_string(*value) : "NULL";
}

// About 10 kB that hardly compress, the same wherever it is evaluated.
std::string large_text(const std::string& number) {
  return fmt::format(
      "(SELECT string_agg(md5(({} + piece)::text), '') "
      "FROM generate_series(1, 300) AS piece)",
      number);
}

}  // namespace

const char* name_of(KeyShape shape) {
  switch (shape) {
    case KeyShape::kInteger:
      return "integer";
    case KeyShape::kIntegerAndText:
      return "integer and text";
    case KeyShape::kUuid:
      return "uuid";
    case KeyShape::kNumeric:
      return "numeric";
    case KeyShape::kTimestamptz:
      return "timestamptz";
    case KeyShape::kDomain:
      return "domain";
    case KeyShape::kEnumAndInteger:
      return "enum and integer";
    case KeyShape::kText:
      return "text without case";
    case KeyShape::kCitext:
      return "citext";
  }
  return "?";
}

const char* name_of(Identity identity) {
  switch (identity) {
    case Identity::kPrimaryKey:
      return "primary key";
    case Identity::kIndex:
      return "using index";
    case Identity::kFull:
      return "full";
  }
  return "?";
}

ServerOffers ServerOffers::ask(Session& session) {
  return {
      .xml = session.try_exec("SELECT xmlparse(content '<a/>')") == kSuccess,
      .icu = session.query_value("SELECT count(*) > 0 FROM pg_collation "
                                 "WHERE collprovider = 'i'") == "t",
      .citext = session.query_value(
                    "SELECT count(*) > 0 FROM pg_available_extensions "
                    "WHERE name = 'citext'") == "t",
  };
}

// ---- the old shape ----------------------------------------------------------

TwinSchema::TwinSchema(const SchemaOptions& options, const ServerOffers& offers)
    : options_(options) {
  Random random(options.seed);
  shape_ = static_cast<KeyShape>(random.below(kKeyShapeCount));
  identity_ = static_cast<Identity>(random.below(3));
  hostile_ = random.chance(50);
  external_document_ = random.chance(50);
  if (options.key_shape) shape_ = *options.key_shape;
  if (options.identity) identity_ = *options.identity;
  if (options.hostile_names) hostile_ = *options.hostile_names;
  if (shape_ == KeyShape::kText && !offers.icu) shape_ = KeyShape::kNumeric;
  if (shape_ == KeyShape::kCitext && !offers.citext) {
    shape_ = KeyShape::kIntegerAndText;
  }
  choose_names(random);
  choose_columns(random, offers);
  write_script(random);
}

std::string TwinSchema::description() const {
  return fmt::format("seed {}: key {}, replica identity {}, table {}",
                     options_.seed, name_of(shape_), name_of(identity_),
                     table_);
}

// A name that keeps `base` recognisable. Quoted.
std::string TwinSchema::name(Random& random, const std::string& base) const {
  if (!hostile_) return identifier(base);
  switch (random.below(7)) {
    case 0:
      return identifier(base);
    case 1:
      return identifier("Upper" + base);
    case 2:
      return identifier(base + R"( "it's" \ $1 %s)");
    case 3:
      return identifier(" " + base + ". ");
    case 4:
      return identifier(base + "_größe_日本");
    case 5:
      return identifier("select " + base);
    default:
      return identifier(base +
                        std::string(kIdentifierBytesMax - base.size(), 'x'));
  }
}

void TwinSchema::choose_names(Random& random) {
  schema_ = name(random, "app");
  relation_ = name(random, "t");
  table_ = schema_ + "." + relation_;
  twin_ = "twin.t";
  new_twin_ = "twin.new_t";
  script_table_ = random.chance(25) ? relation_ : table_;
  key_index_ = name(random, "t_key");
  u_index_ = name(random, "t_u");
  v_index_ = name(random, "t_v");
}

void TwinSchema::add_key_columns(std::vector<Column>& columns) const {
  const auto add = [&](const char* base, const std::string& type,
                       const std::string& collation = "") {
    columns.push_back({.role = Role::kKey,
                       .name = base,
                       .type = type,
                       .collation = collation,
                       .default_value = "",
                       .not_null = true,
                       .expression = ""});
  };
  switch (shape_) {
    case KeyShape::kInteger:
      return add("id", "integer");
    case KeyShape::kIntegerAndText:
      add("id", "integer");
      return add("part", "text");
    case KeyShape::kUuid:
      return add("id", "uuid");
    case KeyShape::kNumeric:
      return add("id", "numeric");
    case KeyShape::kTimestamptz:
      return add("id", "timestamptz");
    case KeyShape::kDomain:
      return add("id", schema_ + ".positive");
    case KeyShape::kEnumAndInteger:
      add("part", schema_ + ".color");
      return add("id", "integer");
    case KeyShape::kText:
      return add("id", "text", schema_ + ".ignores_case");
    case KeyShape::kCitext:
      return add("id", "public.citext");
  }
}

void TwinSchema::choose_columns(Random& random, const ServerOffers& offers) {
  std::vector<Column> columns;
  add_key_columns(columns);
  const auto add = [&](Role role, const char* base, const char* type,
                       const char* default_value = "", bool not_null = false) {
    columns.push_back({.role = role,
                       .name = base,
                       .type = type,
                       .collation = "",
                       .default_value = default_value,
                       .not_null = not_null,
                       .expression = ""});
  };
  const auto maybe = [&](Role role, const char* base, const char* type) {
    if (random.chance(60)) add(role, base, type);
  };
  add(Role::kU, "u", "integer");
  add(Role::kV, "v", "integer", "", true);
  add(Role::kGroup, "grp", "integer", "", true);
  add(Role::kDocument, "document", "text");
  add(Role::kDropped, "dropped", "text", "'dropped by default'");
  add(Role::kRenamed, "renamed", "text", "'renamed by default'");
  maybe(Role::kAmount, "amount", "numeric(12,2)");
  maybe(Role::kJsonb, "b_doc", "jsonb");
  maybe(Role::kJson, "j_doc", "json");
  if (offers.xml) maybe(Role::kXml, "x_doc", "xml");
  maybe(Role::kPoint, "place", "point");
  maybe(Role::kBytes, "bytes", "bytea");
  maybe(Role::kTime, "at", "timestamptz");
  maybe(Role::kFlag, "flag", "boolean");
  maybe(Role::kArray, "numbers", "integer[]");
  random.shuffle(columns);
  for (Column& column : columns) {
    column.name = name(random, column.name);
    column.expression = column.name;
  }
  old_columns_ = columns;
  new_columns_ = columns;
}

bool TwinSchema::has(Role role) const {
  return std::any_of(new_columns_.begin(), new_columns_.end(),
                     [&](const Column& c) { return c.role == role; });
}

TwinSchema::Column& TwinSchema::column(Role role) {
  return *std::find_if(new_columns_.begin(), new_columns_.end(),
                       [&](const Column& c) { return c.role == role; });
}

const TwinSchema::Column& TwinSchema::column(Role role) const {
  return *std::find_if(new_columns_.begin(), new_columns_.end(),
                       [&](const Column& c) { return c.role == role; });
}

const std::string& TwinSchema::common_name(Role role) const {
  return column(role).name;
}

// ---- the script, and beside it the SELECT -----------------------------------

void TwinSchema::say(const std::string& statement) {
  statements_.push_back(statement);
}

// Now and then one ALTER TABLE has several actions. Each concerns a column of
// its own, so their order does not matter.
void TwinSchema::alter(Random& random, const std::string& action) {
  const std::string start = "ALTER TABLE " + script_table_ + " ";
  const bool follows = !statements_.empty() &&
                       statements_.back().rfind(start, 0) == 0 &&
                       statements_.back().find(" RENAME ") == std::string::npos;
  if (follows && random.chance(50)) {
    statements_.back() += ",\n  " + action;
  } else {
    say(start + action);
  }
}

std::string TwinSchema::in_script(const Template& text) const {
  return text([&](Role role) { return column(role).name; });
}

std::string TwinSchema::in_select(const Template& text) const {
  return text([&](Role role) { return "(" + column(role).expression + ")"; });
}

// With `value`, a USING; without, the type's own conversion.
void TwinSchema::change_type(Random& random, Column& column,
                             const std::string& type, const Template& value) {
  alter(random,
        fmt::format("ALTER COLUMN {} {}TYPE {}{}", column.name,
                    random.chance(50) ? "SET DATA " : "", type,
                    value ? fmt::format(" USING {}", in_script(value)) : ""));
  column.expression = fmt::format(
      "({})::{}", value ? in_select(value) : column.expression, type);
  column.type = type;
}

void TwinSchema::add_marker(Random& random) {
  Column marker{.role = Role::kMarker,
                .name = name(random, "marker"),
                .type = "text",
                .collation = "",
                .default_value = "'fresh'",
                .not_null = random.chance(50),
                .expression = "'fresh'::text"};
  alter(random, fmt::format("ADD COLUMN {} text {}DEFAULT 'fresh'", marker.name,
                            marker.not_null ? "NOT NULL " : ""));
  new_columns_.push_back(marker);
}

void TwinSchema::widen_key(Random& random) {
  for (Column& column : new_columns_) {
    const bool narrow =
        column.type == "integer" || column.type == schema_ + ".positive";
    if (column.role == Role::kKey && narrow) {
      change_type(random, column, "bigint", nullptr);
    }
  }
}

void TwinSchema::widen_v(Random& random) {
  change_type(random, column(Role::kV),
              random.chance(50) ? "bigint" : "numeric", nullptr);
}

void TwinSchema::convert_amount(Random& random) {
  if (!has(Role::kAmount)) return;
  change_type(random, column(Role::kAmount), "bigint",
              [](const Reference& the) {
                return fmt::format("({} * 100)::bigint", the(Role::kAmount));
              });
}

void TwinSchema::convert_json(Random& random) {
  if (!has(Role::kJson)) return;
  change_type(random, column(Role::kJson), "jsonb", [](const Reference& the) {
    return fmt::format("{}::jsonb", the(Role::kJson));
  });
}

void TwinSchema::widen_array(Random& random) {
  if (!has(Role::kArray)) return;
  change_type(random, column(Role::kArray), "bigint[]", nullptr);
}

void TwinSchema::drop_column(Random& random) {
  alter(random, "DROP COLUMN " + column(Role::kDropped).name);
  new_columns_.erase(
      std::find_if(new_columns_.begin(), new_columns_.end(),
                   [](const Column& c) { return c.role == Role::kDropped; }));
}

void TwinSchema::rename_column(Random& random) {
  Column& renamed = column(Role::kRenamed);
  const std::string to = name(random, "new_name");
  say(fmt::format("ALTER TABLE {} RENAME COLUMN {} TO {}", script_table_,
                  renamed.name, to));
  renamed.name = to;
}

TwinSchema::Template TwinSchema::condition(Random& random) const {
  if (has(Role::kFlag) && random.chance(20)) {
    return [](const Reference& the) { return the(Role::kFlag); };
  }
  switch (random.below(4)) {
    case 0:
      return [](const Reference& the) {
        return fmt::format("{} % 7 = 3", the(Role::kV));
      };
    case 1:
      return [](const Reference& the) {
        return fmt::format("{} BETWEEN 100 AND 400", the(Role::kU));
      };
    case 2:
      return [](const Reference& the) {
        return fmt::format("{} IS NULL OR {} > 900", the(Role::kDocument),
                           the(Role::kV));
      };
    default:
      return [](const Reference& the) {
        return fmt::format("NOT ({} % 3 > 0)", the(Role::kV));
      };
  }
}

TwinSchema::Template TwinSchema::new_value(Random& random, Role role) const {
  switch (role) {
    case Role::kMarker:
      if (random.chance(50)) {
        return [](const Reference& the) {
          return fmt::format("coalesce(upper(left({}, 8)), 'none')",
                             the(Role::kDocument));
        };
      }
      return [](const Reference& the) {
        return fmt::format("md5(({} % 10)::text)", the(Role::kV));
      };
    case Role::kV:
      return [](const Reference& the) {
        return fmt::format("{} * 2 + {}", the(Role::kV), the(Role::kGroup));
      };
    case Role::kDocument:
      return [](const Reference& the) {
        return fmt::format("upper({})", the(Role::kDocument));
      };
    case Role::kJsonb:
      return [](const Reference& the) {
        return fmt::format("{} - 'a' || '{{\"new\": true}}'",
                           the(Role::kJsonb));
      };
    default:
      return [role](const Reference& the) { return the(role); };
  }
}

void TwinSchema::update(Random& random, Role role) {
  if (!has(role)) return;
  const Template value = new_value(random, role);
  const Template where = random.chance(60) ? condition(random) : nullptr;
  say(fmt::format("UPDATE {} SET {} = {}{}", script_table_, column(role).name,
                  in_script(value), where ? " WHERE " + in_script(where) : ""));
  Column& target = column(role);
  target.expression =
      where ? fmt::format("CASE WHEN {} THEN ({})::{} ELSE {} END",
                          in_select(where), in_select(value), target.type,
                          target.expression)
            : fmt::format("({})::{}", in_select(value), target.type);
}

void TwinSchema::delete_rows(Random& random) {
  const Template where = condition(random);
  say(fmt::format("DELETE FROM {} WHERE {}", script_table_, in_script(where)));
  filters_.push_back(fmt::format("({}) IS NOT TRUE", in_select(where)));
}

void TwinSchema::create_index(Random& random) {
  const std::string index = name(random, "t_added");
  expected_indexes_.push_back(index);
  switch (random.below(4)) {
    case 0:
      // Never violated: it contains the key.
      return say(fmt::format("CREATE UNIQUE INDEX {} ON {} ({}, {})", index,
                             script_table_, column(Role::kGroup).name,
                             key_list(", ")));
    case 1:
      return say(fmt::format(
          "CREATE INDEX {} ON {} (left({}, 10)) WHERE {} > 3", index,
          script_table_, column(Role::kDocument).name, column(Role::kV).name));
    case 2:
      return say(fmt::format("CREATE INDEX {} ON {} USING hash ({})", index,
                             script_table_, column(Role::kU).name));
    default:
      return say(fmt::format("CREATE INDEX {} ON {} ({} DESC NULLS LAST, {})",
                             index, script_table_, column(Role::kV).name,
                             column(Role::kU).name));
  }
}

void TwinSchema::drop_index(Random& random) {
  std::string index = v_index_;
  if (random.chance(40)) {
    index = u_index_;
    u_stays_unique_ = false;
  }
  const std::string qualifier = script_table_ == relation_ ? "" : schema_ + ".";
  say("DROP INDEX " + qualifier + index);
  expected_indexes_.erase(
      std::find(expected_indexes_.begin(), expected_indexes_.end(), index));
}

void TwinSchema::write_script(Random& random) {
  expected_indexes_ = {key_index_, u_index_, v_index_};
  std::vector<std::function<void()>> steps;
  const auto maybe = [&](int percent, const std::function<void()>& step) {
    if (random.chance(percent)) steps.push_back(step);
  };
  steps.emplace_back([&] { add_marker(random); });
  maybe(70, [&] { widen_key(random); });
  maybe(30, [&] { widen_v(random); });
  maybe(40, [&] { convert_amount(random); });
  maybe(40, [&] { convert_json(random); });
  maybe(40, [&] { widen_array(random); });
  maybe(50, [&] { drop_column(random); });
  maybe(50, [&] { rename_column(random); });
  maybe(60, [&] { update(random, Role::kMarker); });
  maybe(40, [&] { update(random, Role::kV); });
  maybe(20, [&] { update(random, Role::kDocument); });
  maybe(30, [&] { update(random, Role::kJsonb); });
  maybe(50, [&] { delete_rows(random); });
  maybe(60, [&] { create_index(random); });
  maybe(30, [&] { drop_index(random); });
  random.shuffle(steps);
  for (const auto& step : steps) step();

  for (const std::string& statement : statements_) {
    if (random.chance(20)) script_ += "-- a comment; it's no statement\n";
    script_ += statement + ";\n";
  }
  std::vector<std::string> values;
  for (const Column& column : new_columns_) {
    values.push_back(column.expression + " AS " + column.name);
  }
  expected_select_ =
      fmt::format("SELECT {} FROM {}", join(values, ", "), twin_);
  if (!filters_.empty()) {
    expected_select_ += " WHERE " + join(filters_, " AND ");
  }
  std::sort(expected_indexes_.begin(), expected_indexes_.end());
}

// ---- making the tables ------------------------------------------------------

void TwinSchema::create_types(Session& superuser, Session& owner) const {
  if (shape_ == KeyShape::kCitext) {
    superuser.exec("CREATE EXTENSION IF NOT EXISTS citext SCHEMA public");
  }
  owner.exec("CREATE SCHEMA " + schema_);
  owner.exec("CREATE SCHEMA twin");
  if (script_table_ == relation_) {
    // For every later session of the role: pgrecast's, and who runs it by hand.
    owner.exec("ALTER ROLE CURRENT_USER SET search_path = " + schema_ +
               ", public");
  }
  if (shape_ == KeyShape::kDomain) {
    owner.exec("CREATE DOMAIN " + schema_ +
               ".positive AS integer CHECK (VALUE >= 0)");
  } else if (shape_ == KeyShape::kEnumAndInteger) {
    owner.exec("CREATE TYPE " + schema_ +
               ".color AS ENUM ('red', 'green', 'blue')");
  } else if (shape_ == KeyShape::kText) {
    owner.exec("CREATE COLLATION " + schema_ +
               ".ignores_case (provider = icu, locale = 'und-u-ks-level2', "
               "deterministic = false)");
  }
}

void TwinSchema::create(Session& superuser, Session& owner, int rows) const {
  create_types(superuser, owner);
  const auto make = [&](const std::string& table,
                        const std::vector<Column>& columns) {
    std::vector<std::string> parts;
    for (const Column& column : columns) {
      std::string part = column.name + " " + column.type;
      if (!column.collation.empty()) part += " COLLATE " + column.collation;
      if (!column.default_value.empty()) {
        part += " DEFAULT " + column.default_value;
      }
      if (column.not_null) part += " NOT NULL";
      parts.push_back(part);
    }
    owner.exec(fmt::format("CREATE TABLE {} ({})", table, join(parts, ", ")));
    if (external_document_) {
      owner.exec(
          fmt::format("ALTER TABLE {} ALTER COLUMN {} SET STORAGE "
                      "EXTERNAL",
                      table, common_name(Role::kDocument)));
    }
  };
  make(table_, old_columns_);
  make(twin_, old_columns_);
  make(new_twin_, new_columns_);
  fill(owner, 0, rows);
  fill(owner, kFirstPrivateId, kPrivateIdCount);
  owner.exec(fmt::format("INSERT INTO {} SELECT * FROM {}", twin_, table_));
  index_source(owner);
  const std::string& u = common_name(Role::kU);
  for (const std::string& table : {twin_, new_twin_}) {
    owner.exec(
        fmt::format("CREATE UNIQUE INDEX ON {} ({})", table, key_list(", ")));
    const bool unique = table == twin_ || u_stays_unique_;
    owner.exec(fmt::format("CREATE {} INDEX ON {} ({})", unique ? "UNIQUE" : "",
                           table, u));
  }
  owner.exec(fmt::format("ANALYZE {}, {}", table_, twin_));
}

void TwinSchema::index_source(Session& owner) const {
  if (identity_ == Identity::kIndex) {
    owner.exec(fmt::format("CREATE UNIQUE INDEX {} ON {} ({})", key_index_,
                           table_, key_list(", ")));
    owner.exec(fmt::format("ALTER TABLE {} REPLICA IDENTITY USING INDEX {}",
                           table_, key_index_));
  } else {
    owner.exec(fmt::format("ALTER TABLE {} ADD CONSTRAINT {} PRIMARY KEY ({})",
                           table_, key_index_, key_list(", ")));
  }
  if (identity_ == Identity::kFull) {
    owner.exec(fmt::format("ALTER TABLE {} REPLICA IDENTITY FULL", table_));
  }
  owner.exec(fmt::format("CREATE UNIQUE INDEX {} ON {} ({})", u_index_, table_,
                         common_name(Role::kU)));
  owner.exec(fmt::format("CREATE INDEX {} ON {} ({})", v_index_, table_,
                         common_name(Role::kV)));
}

std::string TwinSchema::initial_value(Role role) const {
  switch (role) {
    case Role::kU:
      return "CASE WHEN i % 11 > 0 THEN i END";
    case Role::kV:
      return "i * 7 % 1000";
    case Role::kGroup:
      return fmt::format("CASE WHEN i < {} THEN i % 2 ELSE -1 END",
                         kFirstPrivateId);
    case Role::kDocument:
      return fmt::format(
          "CASE WHEN i % 97 = 0 THEN {} WHEN i % 13 = 0 THEN NULL "
          "ELSE 'document ' || i::text END",
          large_text("i"));
    case Role::kDropped:
      return "'dropped ' || i::text";
    case Role::kRenamed:
      return "'renamed ' || i::text";
    case Role::kAmount:
      return "(i % 5000)::numeric / 100";
    case Role::kJsonb:
      return R"(('{"a": ' || i::text || ', "b": [1, null]}')::jsonb)";
    case Role::kJson:
      return R"(('{ "b" :' || i::text || ',  "a": 1}')::json)";
    case Role::kXml:
      return R"(('<a n="' || i::text || '">t</a>')::xml)";
    case Role::kPoint:
      return "point(i % 100, 0.5)";
    case Role::kBytes:
      return "decode(md5(i::text), 'hex')";
    case Role::kTime:
      return "to_timestamp(1577836800 + i * 3.25)";
    case Role::kFlag:
      return "i % 3 = 0";
    case Role::kArray:
      return "ARRAY[i, NULL, i % 10]";
    case Role::kKey:
    case Role::kMarker:
      break;
  }
  return "NULL";
}

void TwinSchema::fill(Session& owner, int first, int count) const {
  constexpr int kForms = 3;
  for (int form = 0; form < kForms; ++form) {
    std::vector<std::string> key = key_values("i", form);
    std::vector<std::string> values;
    std::size_t next_key = 0;
    // The key's columns keep their order among the others: see key_list.
    for (const Column& column : old_columns_) {
      values.push_back(column.role == Role::kKey ? key[next_key++]
                                                 : initial_value(column.role));
    }
    owner.exec(fmt::format(
        "INSERT INTO {} SELECT {} FROM generate_series({}, {}) AS i "
        "WHERE i % {} = {}",
        table_, join(values, ", "), first, first + count - 1, kForms, form));
  }
}

// ---- statements -------------------------------------------------------------

// The values come in the order of the key's columns in the table, which the
// seed has shuffled.
std::vector<std::string> TwinSchema::key_values(const std::string& id,
                                                int form) const {
  const auto by_type = [&](const std::string& type) -> std::string {
    if (type == "text" && shape_ == KeyShape::kIntegerAndText) {
      return fmt::format("'k' || (({}) / 97)::text", id);
    }
    if (type == schema_ + ".color") {
      return fmt::format("('{{red,green,blue}}'::{}[])[1 + ({}) % 3]", type,
                         id);
    }
    switch (shape_) {
      case KeyShape::kIntegerAndText:
        return fmt::format("({}) % 97", id);
      case KeyShape::kEnumAndInteger:
        return fmt::format("({}) / 3", id);
      case KeyShape::kUuid:
        return fmt::format("md5(({})::text)::uuid", id);
      case KeyShape::kNumeric:
        return fmt::format("(({})::numeric / 10)::numeric(20,{})", id,
                           1 + form);
      case KeyShape::kTimestamptz:
        return fmt::format(
            "to_timestamp(1577836800::double precision + ({}) * 61)", id);
      case KeyShape::kText:
      case KeyShape::kCitext: {
        const char* const prefix = form == 0   ? "Key-"
                                   : form == 1 ? "KEY-"
                                               : "key-";
        return fmt::format("('{}' || ({})::text)::{}", prefix, id, type);
      }
      case KeyShape::kInteger:
      case KeyShape::kDomain:
        break;
    }
    return id;
  };
  std::vector<std::string> values;
  for (const Column& column : old_columns_) {
    if (column.role == Role::kKey) values.push_back(by_type(column.type));
  }
  return values;
}

std::string TwinSchema::key_list(const std::string& separator) const {
  std::vector<std::string> names;
  for (const Column& column : old_columns_) {
    if (column.role == Role::kKey) names.push_back(column.name);
  }
  return join(names, separator);
}

std::string TwinSchema::key_is(int id, int form) const {
  const std::vector<std::string> values = key_values(std::to_string(id), form);
  std::vector<std::string> parts;
  std::size_t next = 0;
  for (const Column& column : old_columns_) {
    if (column.role == Role::kKey) {
      parts.push_back(column.name + " = " + values[next++]);
    }
  }
  return join(parts, " AND ");
}

std::string TwinSchema::new_shape_query() const {
  return fmt::format(
      "SELECT count(*) > 0 FROM pg_attribute WHERE attrelid = {}::regclass "
      "AND NOT attisdropped "
      "AND '\"' || replace(attname, '\"', '\"\"') || '\"' = {}",
      quoted(table_, '\''), quoted(column(Role::kMarker).name, '\''));
}

std::string TwinSchema::u_query(int id) const {
  return fmt::format("SELECT {} FROM {} WHERE {}", common_name(Role::kU),
                     table_, key_is(id, 0));
}

std::string TwinSchema::value(Random& random, Role role) const {
  const int n = random.below(1000);
  if (role == Role::kV) return std::to_string(n);
  if (random.chance(10)) return "NULL";
  switch (role) {
    case Role::kDocument:
      return random.chance(15) ? large_text(std::to_string(n))
                               : fmt::format("'text {}'", n);
    case Role::kAmount:
      return fmt::format("{}.{:02}", n, n % 100);
    case Role::kJsonb:
      return fmt::format(R"('{{"a": {}, "c": "x"}}')", n);
    case Role::kJson:
      return fmt::format(R"('{{ "z":{} , "a" :1 }}')", n);
    case Role::kXml:
      return fmt::format("'<r>{}</r>'", n);
    case Role::kPoint:
      return fmt::format("'({},{}.25)'", n, n % 10);
    case Role::kBytes:
      return fmt::format("'\\x00{:04}ff'", n);
    case Role::kTime:
      return fmt::format("'2024-05-{:02} 12:00:00.{:06}+02'", 1 + n % 28, n);
    case Role::kFlag:
      return n % 2 == 0 ? "true" : "false";
    case Role::kArray:
      return fmt::format("'{{{},NULL,-{}}}'", n, n % 7);
    default:
      return "NULL";
  }
}

Statement TwinSchema::update_one(int id, const std::string& assignments) const {
  return {.before = "UPDATE ",
          .after = fmt::format(" SET {} WHERE {}", assignments, key_is(id, 0))};
}

Statement TwinSchema::insert(Random& random, int id,
                             std::optional<int> u) const {
  std::vector<std::string> names;
  std::vector<std::string> values;
  const std::vector<std::string> key =
      key_values(std::to_string(id), random.below(3));
  std::size_t next_key = 0;
  for (const Column& column : old_columns_) {
    if (column.role == Role::kDropped || column.role == Role::kRenamed) {
      continue;
    }
    names.push_back(column.name);
    if (column.role == Role::kKey) {
      values.push_back(key[next_key++]);
    } else if (column.role == Role::kU) {
      values.push_back(integer_or_null(u));
    } else if (column.role == Role::kGroup) {
      values.push_back(std::to_string(id < kFirstPrivateId ? id % 2 : -1));
    } else {
      values.push_back(value(random, column.role));
    }
  }
  return {.before = "INSERT INTO ",
          .after = fmt::format(" ({}) VALUES ({})", join(names, ", "),
                               join(values, ", "))};
}

Statement TwinSchema::remove(int id) const {
  return {.before = "DELETE FROM ", .after = " WHERE " + key_is(id, 0)};
}

Statement TwinSchema::set_values(Random& random, int id) const {
  std::vector<Role> roles;
  for (const Column& column : old_columns_) {
    if (column.role == Role::kV || column.role >= Role::kAmount) {
      roles.push_back(column.role);
    }
  }
  random.shuffle(roles);
  roles.resize(std::min<std::size_t>(
      roles.size(), static_cast<std::size_t>(random.between(1, 3))));
  std::vector<std::string> parts;
  parts.reserve(roles.size());
  for (const Role role : roles) {
    parts.push_back(common_name(role) + " = " + value(random, role));
  }
  return update_one(id, join(parts, ", "));
}

Statement TwinSchema::set_nulls(Random& random, int id) const {
  std::string parts = common_name(Role::kDocument) + " = NULL";
  for (const Column& column : old_columns_) {
    if (column.role >= Role::kAmount && random.chance(50)) {
      parts += ", " + column.name + " = NULL";
    }
  }
  return update_one(id, parts);
}

Statement TwinSchema::set_document(Random& random, int id) const {
  return update_one(id, common_name(Role::kDocument) + " = " +
                            value(random, Role::kDocument));
}

Statement TwinSchema::set_u(int id, std::optional<int> u) const {
  return update_one(id, common_name(Role::kU) + " = " + integer_or_null(u));
}

Statement TwinSchema::change_key(Random& random, int from, int to) const {
  const std::vector<std::string> values =
      key_values(std::to_string(to), random.below(3));
  std::vector<std::string> parts;
  std::size_t next = 0;
  for (const Column& column : old_columns_) {
    if (column.role == Role::kKey) {
      parts.push_back(column.name + " = " + values[next++]);
    }
  }
  return update_one(from, join(parts, ", "));
}

Statement TwinSchema::touch(int id) const {
  const std::string& v = common_name(Role::kV);
  return update_one(id, v + " = " + v);
}

Statement TwinSchema::add_to_group(int group) const {
  const std::string& v = common_name(Role::kV);
  return {.before = "UPDATE ",
          .after = fmt::format(" SET {0} = {0} + 1 WHERE {1} = {2}", v,
                               common_name(Role::kGroup), group)};
}

}  // namespace pgrecast::test
