#pragma once

#include "pgrecast/script/source_text.h"

#include <optional>
#include <string>
#include <variant>
#include <vector>

// What a script's statements say, as far as a migration cares. All plain
// values. Names are decoded: without quotes, folded to lower case where they
// were not quoted, cut to 63 bytes as the server cuts them. Spans are bytes of
// the script's text.
//
// SQL text is never printed anew from a parse tree. Every span of an
// expression, a type, a name or a subcommand below was proved: the slice was
// parsed again on its own and gave the very tree that the parser had found in
// the statement. A statement where that fails is refused, so a span may be
// trusted to be neither too long nor too short.
namespace pgrecast::script {

struct QualifiedName {
  std::optional<std::string> schema;
  std::string name;

  auto operator<=>(const QualifiedName&) const = default;
};

// The table that a statement names.
struct TableName {
  std::optional<std::string> schema;
  std::string name;
  Span span;          // schema.name as it stands: without ONLY, *, alias
  bool only = false;  // ONLY was written: without those that inherit from it
};

// `name`, or `qualifier.name` where the qualifier is the table's name or alias.
struct ColumnUse {
  std::optional<std::string> qualifier;
  std::string name;
  Span span;
};

struct FunctionUse {
  QualifiedName function;
  // From the name to the closing parenthesis; nullopt for what is written like
  // an operator: AT TIME ZONE, OVERLAPS, SIMILAR TO. Then `begin`, somewhere in
  // it, is all that is known.
  std::optional<Span> call;
  std::size_t begin = 0;
};

// CURRENT_TIMESTAMP, LOCALTIME(3), CURRENT_USER, ...
struct SqlValueUse {
  std::string keyword;  // upper case, without the precision
  Span span;            // with the precision
};

// What decides whether an expression gives the same value every time, for the
// check of volatility, which only the server can make. In the text's order,
// each occurrence of its own (operators and fields: once each).
//
// A column use may turn out to be something else, which only the catalogs can
// tell: a bare name that is no column but the table's name is the whole row,
// and `t.f` may be a function of the row. A caller must look every name up
// among the table's columns and refuse what is not there.
struct ExpressionFacts {
  std::vector<ColumnUse> columns;
  std::vector<FunctionUse> functions;
  std::vector<SqlValueUse> sql_values;
  // Their functions may be stable: timestamptz + interval is.
  std::vector<QualifiedName> operators;
  // f in `(x).f`: a field of a composite, or else the call f(x).
  std::vector<std::string> fields;
  // Casts may be stable: text::timestamptz is.
  bool has_cast = false;
  // A constant with the word now, today, tomorrow or yesterday in it: if it
  // becomes a date or a time ('today 10:00'), or a range or an array of them,
  // then at each evaluation a different one.
  bool has_date_word = false;
  // Nothing but a constant.
  bool is_constant = false;
};

struct Expression {
  Span span;  // safe to use as `(` slice `)` followed by nothing of the line
  ExpressionFacts facts;
};

struct TypeChange {
  std::string column;
  Span type;                      // without COLLATE
  std::optional<Span> collation;  // the name behind COLLATE
  std::optional<Expression> using_expression;
  // USING is only the column itself, or one cast of it.
  bool using_is_plain = false;
};

struct AddedColumn {
  std::string name;
  Span type;
  std::optional<Expression> default_expression;
  std::optional<Expression>
      generated_expression;  // GENERATED .. AS (..) STORED
  bool identity = false;
  bool serial = false;  // serial, bigserial, smallserial and their other names
  bool if_not_exists = false;
};

struct DroppedColumn {
  std::string name;
  bool if_exists = false;
  bool cascade = false;
};

// ADD [CONSTRAINT n] FOREIGN KEY .. REFERENCES u .., or ADD COLUMN a ..
// [CONSTRAINT n] REFERENCES u .., in the statement's order.
struct AddedForeignKey {
  TableName referenced;
  std::string name;            // empty: the server chooses one
  std::size_t subcommand = 0;  // which of the subcommands
  // Of a column: its clause, with DEFERRABLE and the like. Of the table: the
  // whole subcommand.
  Span clause;
  // By hand all rows are looked at: not with NOT VALID, nor where an added
  // column has no default.
  bool checked = true;
};

// ALTER COLUMN .. SET DEFAULT, or DROP DEFAULT without an expression.
struct DefaultChange {
  std::string column;
  std::optional<Expression> expression;
};

// The subcommands of ALTER TABLE that may run on a shadow. All others are
// refused by Script::parse.
enum class AlterKind {
  kColumnType,
  kAddColumn,
  kDropColumn,
  kSetDefault,
  kDropDefault,
  kSetNotNull,
  kDropNotNull,
  kDropExpression,
  kIdentity,  // ADD GENERATED .. AS IDENTITY, SET .., DROP IDENTITY
  kSetStatistics,
  kColumnOptions,  // SET (n_distinct = ..), RESET (..)
  kSetStorage,
  kSetCompression,
  kAddConstraint,  // any but a foreign key
  kAddForeignKey,
  kDropConstraint,
  kValidateConstraint,
  kCluster,      // CLUSTER ON, SET WITHOUT CLUSTER
  kPersistence,  // SET LOGGED, SET UNLOGGED
  kAccessMethod,
  kTablespace,
  kTableOptions,  // SET (fillfactor = ..), RESET (..)
  kReplicaIdentity,
  kWithoutOids,  // has no effect since PostgreSQL 12
};

struct Subcommand {
  AlterKind kind = AlterKind::kColumnType;
  Span span;
  std::string name;  // of the column, constraint, index, ..; empty without one
};

// ALTER TABLE t subcommand, ...: each subcommand stands in `subcommands`, and
// those that touch the rows again, in the same order, in a list of their kind.
struct AlterTable {
  TableName table;
  bool if_exists = false;
  std::vector<Subcommand> subcommands;
  std::vector<TypeChange> type_changes;
  std::vector<AddedColumn> added;
  std::vector<DroppedColumn> dropped;
  std::vector<DefaultChange> defaults;
  std::vector<AddedForeignKey> foreign_keys;
};

struct RenameColumn {
  TableName table;
  bool if_exists = false;
  std::string from;
  std::string to;
};

// ALTER TABLE t RENAME CONSTRAINT a TO b
struct RenameConstraint {
  TableName table;
  bool if_exists = false;
  std::string from;
  std::string to;
};

struct Assignment {
  std::string column;
  Expression expression;
};

// UPDATE t SET column = expression, ... [WHERE condition]; no column twice.
struct Update {
  TableName table;
  std::optional<std::string> alias;
  std::vector<Assignment> assignments;
  std::optional<Expression> where;
};

// DELETE FROM t WHERE condition.
struct Delete {
  TableName table;
  std::optional<std::string> alias;
  Expression where;
};

struct CreateIndex {
  TableName table;
  std::optional<std::string> name;  // the server chooses one otherwise
  bool unique = false;
  bool if_not_exists = false;
  // The word CONCURRENTLY: accepted, and left out by with_table_replaced(),
  // since nobody else uses a shadow.
  std::optional<Span> concurrently;
};

// What hangs on a table and is named by itself: an index, extended statistics.
struct ObjectName {
  std::optional<std::string> schema;
  std::string name;
  Span span;  // schema.name as it stands
};

struct DropIndex {
  std::vector<ObjectName> indexes;
  bool if_exists = false;
  bool concurrently = false;
  bool cascade = false;
};

// CREATE TABLE t (..), with PARTITION BY or without: the whole target shape of
// a table that there is.
struct CreateTable {
  TableName table;
};

// CREATE TABLE p PARTITION OF t ..: `parent` is a table that the script makes
// anew, or one of its partitions. Neither has columns of its own.
struct CreatePartition {
  TableName partition;
  TableName parent;
};

// SET, SET LOCAL, SET TIME ZONE, SET NAMES, SET SCHEMA; RESET and SET .. TO
// DEFAULT. The statement's own text says the value.
struct SetVariable {
  enum class Kind { kSet, kReset, kResetAll };

  Kind kind = Kind::kSet;
  std::string name;    // in lower case unless it was quoted; none for RESET ALL
  bool local = false;  // holds until COMMIT
};

// BEGIN, START TRANSACTION; COMMIT, END.
struct TransactionMark {
  bool begins = false;
  bool chain = false;  // COMMIT AND CHAIN
};

// ALTER INDEX i RENAME TO .., SET (..), RESET (..), SET TABLESPACE .., ALTER
// COLUMN .. SET STATISTICS ..
struct AlterIndex {
  ObjectName index;
  bool if_exists = false;
  std::optional<std::string> renamed_to;
};

// COMMENT ON TABLE t, COLUMN t.c, CONSTRAINT c ON t
struct CommentOnTable {
  enum class Part { kTable, kColumn, kConstraint };

  TableName table;
  Part part = Part::kTable;
  std::string name;  // of the column or constraint
};

// COMMENT ON INDEX i, STATISTICS s
struct CommentOnObject {
  enum class Kind { kIndex, kStatistics };

  ObjectName object;
  Kind kind = Kind::kIndex;
};

// GRANT or REVOKE, of one table, with its columns.
struct ChangeGrants {
  TableName table;
};

// CREATE STATISTICS s ON .. FROM t
struct CreateStatistics {
  TableName table;
  ObjectName statistics;
  bool if_not_exists = false;
};

struct DropStatistics {
  std::vector<ObjectName> statistics;
  bool if_exists = false;
};

using StatementBody =
    std::variant<AlterTable, RenameColumn, Update, Delete, CreateIndex,
                 DropIndex, CreateTable, CreatePartition, SetVariable,
                 TransactionMark, RenameConstraint, AlterIndex, CommentOnTable,
                 CommentOnObject, ChangeGrants, CreateStatistics,
                 DropStatistics>;

struct Statement {
  Span span;  // first to last token, without the semicolon
  Place place;
  StatementBody body;
};

// The table that the statement is about; nullptr where it names none (SET), or
// an index or statistics only, and for partitions, whose parent may be one that
// only the script makes.
const TableName* table_of(const Statement& statement);

}  // namespace pgrecast::script
