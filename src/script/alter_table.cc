#include "expression.h"
#include "statements.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace pgrecast::script {
namespace {

struct KindOf {
  std::string_view subtype;  // AlterTableType, as the parser prints it
  AlterKind kind;
};

constexpr std::array kKinds{
    KindOf{"AT_AddColumn", AlterKind::kAddColumn},
    KindOf{"AT_AddConstraint", AlterKind::kAddConstraint},
    KindOf{"AT_AddIdentity", AlterKind::kIdentity},
    KindOf{"AT_AlterColumnType", AlterKind::kColumnType},
    KindOf{"AT_ClusterOn", AlterKind::kCluster},
    KindOf{"AT_ColumnDefault", AlterKind::kSetDefault},
    KindOf{"AT_DropCluster", AlterKind::kCluster},
    KindOf{"AT_DropColumn", AlterKind::kDropColumn},
    KindOf{"AT_DropConstraint", AlterKind::kDropConstraint},
    KindOf{"AT_DropExpression", AlterKind::kDropExpression},
    KindOf{"AT_DropIdentity", AlterKind::kIdentity},
    KindOf{"AT_DropNotNull", AlterKind::kDropNotNull},
    KindOf{"AT_DropOids", AlterKind::kWithoutOids},
    KindOf{"AT_ReplicaIdentity", AlterKind::kReplicaIdentity},
    KindOf{"AT_ResetOptions", AlterKind::kColumnOptions},
    KindOf{"AT_ResetRelOptions", AlterKind::kTableOptions},
    KindOf{"AT_SetAccessMethod", AlterKind::kAccessMethod},
    KindOf{"AT_SetCompression", AlterKind::kSetCompression},
    KindOf{"AT_SetIdentity", AlterKind::kIdentity},
    KindOf{"AT_SetLogged", AlterKind::kPersistence},
    KindOf{"AT_SetNotNull", AlterKind::kSetNotNull},
    KindOf{"AT_SetOptions", AlterKind::kColumnOptions},
    KindOf{"AT_SetRelOptions", AlterKind::kTableOptions},
    KindOf{"AT_SetStatistics", AlterKind::kSetStatistics},
    KindOf{"AT_SetStorage", AlterKind::kSetStorage},
    KindOf{"AT_SetTableSpace", AlterKind::kTablespace},
    KindOf{"AT_SetUnLogged", AlterKind::kPersistence},
    KindOf{"AT_ValidateConstraint", AlterKind::kValidateConstraint},
};

struct RefusedKind {
  std::string_view subtype;
  std::string_view words;
};

// Those that make no sense on a shadow: what they change is not of the table's
// shape, and is carried over from the source at cutover. (A subtype that is in
// neither list is refused too, by its own text.)
constexpr std::array kRefused{
    RefusedKind{"AT_AddInherit", "INHERIT"},
    RefusedKind{"AT_AddOf", "OF"},
    RefusedKind{"AT_AlterConstraint", "ALTER CONSTRAINT"},
    RefusedKind{"AT_AttachPartition", "ATTACH PARTITION"},
    RefusedKind{"AT_ChangeOwner", "OWNER TO"},
    RefusedKind{"AT_DetachPartition", "DETACH PARTITION"},
    RefusedKind{"AT_DetachPartitionFinalize", "DETACH PARTITION"},
    RefusedKind{"AT_DisableRowSecurity", "DISABLE ROW LEVEL SECURITY"},
    RefusedKind{"AT_DisableRule", "DISABLE RULE"},
    RefusedKind{"AT_DisableTrig", "DISABLE TRIGGER"},
    RefusedKind{"AT_DisableTrigAll", "DISABLE TRIGGER"},
    RefusedKind{"AT_DisableTrigUser", "DISABLE TRIGGER"},
    RefusedKind{"AT_DropInherit", "NO INHERIT"},
    RefusedKind{"AT_DropOf", "NOT OF"},
    RefusedKind{"AT_EnableAlwaysRule", "ENABLE RULE"},
    RefusedKind{"AT_EnableAlwaysTrig", "ENABLE TRIGGER"},
    RefusedKind{"AT_EnableReplicaRule", "ENABLE RULE"},
    RefusedKind{"AT_EnableReplicaTrig", "ENABLE TRIGGER"},
    RefusedKind{"AT_EnableRowSecurity", "ENABLE ROW LEVEL SECURITY"},
    RefusedKind{"AT_EnableRule", "ENABLE RULE"},
    RefusedKind{"AT_EnableTrig", "ENABLE TRIGGER"},
    RefusedKind{"AT_EnableTrigAll", "ENABLE TRIGGER"},
    RefusedKind{"AT_EnableTrigUser", "ENABLE TRIGGER"},
    RefusedKind{"AT_ForceRowSecurity", "FORCE ROW LEVEL SECURITY"},
    RefusedKind{"AT_NoForceRowSecurity", "NO FORCE ROW LEVEL SECURITY"},
};

constexpr auto kByHand =
    "take it out of the script, and run it by hand after the migration";

// The tokens of one subcommand.
struct Part {
  std::size_t begin = 0;
  std::size_t end = 0;
};

bool is_serial(const Tree& type_name) {
  constexpr std::array<std::string_view, 6> kNames{
      "serial", "serial2", "serial4", "serial8", "smallserial", "bigserial"};
  // The server takes these names only without a schema.
  const std::vector<std::string> names = string_list(field(type_name, "names"));
  return names.size() == 1 &&
         std::find(kNames.begin(), kNames.end(), names[0]) != kNames.end();
}

// Reads one ALTER TABLE.
class AlterTableReader {
 public:
  AlterTableReader(const StatementReader& reader, const Tree& node)
      : reader_(reader), node_(node) {}

  AlterTable take() {
    result_.table = reader_.table_name(field(node_, "relation"));
    result_.if_exists = flag_field(node_, "missing_ok");
    // No subcommand has a comma outside parentheses, so that the parts and the
    // tree's list are the same; each is proved all the same.
    std::size_t begin = behind_table();
    for (const Tree& item : field(node_, "cmds")) {
      const Part part{begin, reader_.find(begin, reader_.end(), ",")};
      take_subcommand(part, item);
      begin = part.end + 1;
    }
    return std::move(result_);
  }

 private:
  // t, t *, ONLY t, ONLY (t)
  std::size_t behind_table() const {
    std::size_t at = reader_.index_at(result_.table.span.begin);
    at = reader_.behind_qualified_name(at);
    if (reader_.is(at, "*") || reader_.is(at, ")")) ++at;
    return at;
  }

  void take_subcommand(Part part, const Tree& item) {
    const Tree& command = field(item, "AlterTableCmd");
    const std::string subtype = text_field(command, "subtype");
    Subcommand subcommand{.kind = kind_of(part, subtype),
                          .span = reader_.span_of(part.begin, part.end),
                          .name = text_field(command, "name")};
    reader_.prove_subcommand(subcommand.span, item);
    switch (subcommand.kind) {
      case AlterKind::kColumnType:
        take_type_change(part, command);
        break;
      case AlterKind::kAddColumn:
        take_added_column(part, command);
        subcommand.name = result_.added.back().name;
        break;
      case AlterKind::kDropColumn:
        take_dropped_column(command);
        break;
      case AlterKind::kSetDefault:
        take_default(part, command);
        if (!has(command, "def")) subcommand.kind = AlterKind::kDropDefault;
        break;
      case AlterKind::kIdentity:
        refuse_restart(part, command);
        break;
      case AlterKind::kAddConstraint:
        take_constraint(subcommand, field(field(command, "def"), "Constraint"));
        break;
      default:
        break;
    }
    result_.subcommands.push_back(std::move(subcommand));
  }

  AlterKind kind_of(Part part, std::string_view subtype) const {
    const auto known =
        std::find_if(kKinds.begin(), kKinds.end(),
                     [&](const KindOf& k) { return k.subtype == subtype; });
    if (known != kKinds.end()) return known->kind;
    const auto refused = std::find_if(
        kRefused.begin(), kRefused.end(),
        [&](const RefusedKind& k) { return k.subtype == subtype; });
    const std::string_view words =
        refused == kRefused.end()
            ? reader_.source().slice(reader_.span_of(part.begin, part.end))
            : refused->words;
    reader_.refuse(
        reader_.offset(part.begin),
        fmt::format("ALTER TABLE .. {} is not supported in a script", words),
        kByHand);
  }

  // The sequence goes on from the table's own, which counts until the exchange.
  void refuse_restart(Part part, const Tree& command) const {
    const Tree& options = field(field(command, "def"), "List");
    for (const Tree& item : field(options, "items")) {
      if (text_field(field(item, "DefElem"), "defname") != "restart") continue;
      reader_.refuse(reader_.offset(part.begin),
                     "ALTER COLUMN .. RESTART is not supported in a script",
                     kByHand);
    }
  }

  void take_constraint(Subcommand& subcommand, const Tree& constraint) {
    subcommand.name = text_field(constraint, "conname");
    if (!is_foreign_key(constraint)) return;
    subcommand.kind = AlterKind::kAddForeignKey;
    result_.foreign_keys.push_back(
        {.referenced = reader_.table_name(field(constraint, "pktable")),
         .name = subcommand.name,
         .subcommand = result_.subcommands.size(),
         .clause = subcommand.span,
         .checked = !flag_field(constraint, "skip_validation")});
  }

  // ALTER [COLUMN] c [SET DATA] TYPE type [COLLATE c] [USING expression]
  void take_type_change(Part part, const Tree& command) {
    const Tree& column = field(field(command, "def"), "ColumnDef");
    const Tree& type_name = field(column, "typeName");
    const std::size_t type = reader_.index_of(type_name);
    const std::size_t using_word =
        reader_.find_keyword(type, part.end, "using");
    TypeChange change;
    change.column = text_field(command, "name");
    std::size_t type_end = using_word;
    if (const Tree& collation = field(column, "collClause");
        !collation.is_null()) {
      type_end = reader_.index_of(collation);
      change.collation = take_collation(collation);
    }
    change.type = reader_.span_of(type, type_end);
    reader_.prove_type(change.type, type_name);
    if (const Tree& expression = field(column, "raw_default");
        !expression.is_null()) {
      change.using_expression = take_expression(
          reader_, scope(), using_word + 1, part.end, expression);
      change.using_is_plain = is_plain(expression, change.column);
    }
    result_.type_changes.push_back(std::move(change));
  }

  Span take_collation(const Tree& clause) const {
    const std::size_t name = reader_.index_of(clause) + 1;
    const Span span =
        reader_.span_of(name, reader_.behind_qualified_name(name));
    reader_.prove_collation(span, field(clause, "collname"));
    return span;
  }

  static bool is_plain(const Tree& expression, const std::string& column) {
    const Tree& cast = field(expression, "TypeCast");
    const Tree& inner = cast.is_null() ? expression : field(cast, "arg");
    const std::vector<std::string> parts =
        string_list(field(field(inner, "ColumnRef"), "fields"));
    return !parts.empty() && parts.back() == column;
  }

  // ADD [COLUMN] [IF NOT EXISTS] c type [COMPRESSION m] [COLLATE c]
  // [constraint ...]: the default may stand anywhere among the constraints.
  void take_added_column(Part part, const Tree& command) {
    const Tree& column = field(field(command, "def"), "ColumnDef");
    const Tree& type_name = field(column, "typeName");
    AddedColumn added;
    added.name = text_field(column, "colname");
    added.serial = is_serial(type_name);
    added.if_not_exists = flag_field(command, "missing_ok");
    added.type = take_added_type(part, column);
    for (const Tree& item : field(column, "constraints")) {
      const Tree& constraint = field(item, "Constraint");
      if (is_foreign_key(constraint)) take_reference(part, column, constraint);
      const std::string kind = text_field(constraint, "contype");
      if (kind == "CONSTR_IDENTITY") added.identity = true;
      if (kind == "CONSTR_DEFAULT") {
        refuse_second(constraint, added.default_expression);
        added.default_expression =
            take_column_default(part, column, constraint);
      }
      if (kind == "CONSTR_GENERATED") {
        refuse_second(constraint, added.generated_expression);
        added.generated_expression = take_generated(constraint);
      }
    }
    result_.added.push_back(std::move(added));
  }

  // [CONSTRAINT name] REFERENCES u .. [DEFERRABLE ..]
  void take_reference(Part part, const Tree& column, const Tree& constraint) {
    const std::size_t begin = reader_.index_of(constraint);
    result_.foreign_keys.push_back(
        {.referenced = reader_.table_name(field(constraint, "pktable")),
         .name = text_field(constraint, "conname"),
         .subcommand = result_.subcommands.size(),
         .clause = reader_.span_of(
             begin, first_clause_behind(column, begin, part.end)),
         .checked = has_default(column)});
  }

  static bool has_default(const Tree& column) {
    const Tree& constraints = field(column, "constraints");
    return std::any_of(
        constraints.begin(), constraints.end(), [](const Tree& item) {
          return text_field(field(item, "Constraint"), "contype") ==
                 "CONSTR_DEFAULT";
        });
  }

  void refuse_second(const Tree& constraint,
                     const std::optional<Expression>& first) const {
    if (!first) return;
    reader_.refuse(location(constraint).value_or(reader_.span().begin),
                   "the column has two such clauses", "leave one of them out");
  }

  Span take_added_type(Part part, const Tree& column) const {
    const std::size_t begin = reader_.index_of(field(column, "typeName"));
    std::size_t end = first_clause_behind(column, begin, part.end);
    if (has(column, "compression")) {
      end = reader_.find_keyword(begin, end, "compression");
    }
    const Span type = reader_.span_of(begin, end);
    reader_.prove_type(type, field(column, "typeName"));
    return type;
  }

  // Where the first constraint or COLLATE behind the token begins: not those
  // that only say more of the one before them.
  std::size_t first_clause_behind(const Tree& column, std::size_t token,
                                  std::size_t end) const {
    const auto consider = [&](const Tree& clause) {
      if (clause.is_null()) return;
      const std::size_t begin = reader_.index_of(clause);
      if (begin > token) end = std::min(end, begin);
    };
    for (const Tree& item : field(column, "constraints")) {
      const Tree& constraint = field(item, "Constraint");
      if (!is_attribute(constraint)) consider(constraint);
    }
    consider(field(column, "collClause"));
    return end;
  }

  // [CONSTRAINT name] DEFAULT expression
  Expression take_column_default(Part part, const Tree& column,
                                 const Tree& constraint) const {
    const std::size_t begin = reader_.index_of(constraint);
    const std::size_t end = first_clause_behind(column, begin, part.end);
    const std::size_t word = reader_.find_keyword(begin, end, "default");
    return take_expression(reader_, scope(), std::min(word + 1, end), end,
                           field(constraint, "raw_expr"));
  }

  // [CONSTRAINT name] GENERATED ALWAYS AS (expression) STORED
  Expression take_generated(const Tree& constraint) const {
    const std::size_t open =
        reader_.find(reader_.index_of(constraint), reader_.end(), "(");
    const std::size_t behind = reader_.behind_parenthesis(open);
    return take_expression(reader_, scope(), open + 1, behind - 1,
                           field(constraint, "raw_expr"));
  }

  void take_dropped_column(const Tree& command) {
    result_.dropped.push_back(
        {.name = text_field(command, "name"),
         .if_exists = flag_field(command, "missing_ok"),
         .cascade = text_field(command, "behavior") == "DROP_CASCADE"});
  }

  // ALTER [COLUMN] c SET DEFAULT expression, or DROP DEFAULT
  void take_default(Part part, const Tree& command) {
    DefaultChange change;
    change.column = text_field(command, "name");
    if (has(command, "def")) {
      const std::size_t word =
          reader_.find_keyword(part.begin, part.end, "default");
      change.expression =
          take_expression(reader_, scope(), std::min(word + 1, part.end),
                          part.end, field(command, "def"));
    }
    result_.defaults.push_back(std::move(change));
  }

  ExpressionScope scope() const { return {result_.table, no_alias_}; }

  const StatementReader& reader_;
  const Tree& node_;
  const std::optional<std::string> no_alias_;
  AlterTable result_;
};

}  // namespace

AlterTable take_alter_table(const StatementReader& reader, const Tree& node) {
  return AlterTableReader(reader, node).take();
}

}  // namespace pgrecast::script
