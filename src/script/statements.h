#pragma once

#include "pgrecast/script/statement.h"

#include "statement_reader.h"
#include "tree.h"

namespace pgrecast::script {

// What the statement is, from its node of the parse tree ({"UpdateStmt": ..}).
// Throws ScriptError, one problem, for what pgrecast does not take.
StatementBody classify(const StatementReader& reader, const Tree& statement);

// "CREATE VIEW is not supported in a script", and what to do instead.
[[noreturn]] void refuse_statement(const StatementReader& reader);

// The node inside {"AlterTableStmt": ..}.
AlterTable take_alter_table(const StatementReader& reader, const Tree& node);

// The node inside {"CreateStmt": ..}: CreateTable or CreatePartition.
StatementBody take_create_table(const StatementReader& reader,
                                const Tree& node);

// SET and BEGIN: from the nodes inside {"VariableSetStmt": ..} and
// {"TransactionStmt": ..}.
SetVariable take_set(const StatementReader& reader, const Tree& node);
TransactionMark take_transaction(const StatementReader& reader,
                                 const Tree& node);

// Inside {"IndexStmt": ..}, {"DropStmt": ..}; {"AlterTableStmt": ..} or
// {"RenameStmt": ..} of an index.
CreateIndex take_create_index(const StatementReader& reader, const Tree& node);
DropIndex take_drop_index(const StatementReader& reader, const Tree& node);
AlterIndex take_alter_index(const StatementReader& reader, const Tree& node);

// Inside {"CommentStmt": ..}: CommentOnTable or CommentOnObject.
StatementBody take_comment(const StatementReader& reader, const Tree& node);

// Inside {"GrantStmt": ..}, which REVOKE is, too.
ChangeGrants take_grant(const StatementReader& reader, const Tree& node);

// Inside {"CreateStatsStmt": ..}, {"DropStmt": ..}.
CreateStatistics take_create_statistics(const StatementReader& reader,
                                        const Tree& node);
DropStatistics take_drop_statistics(const StatementReader& reader,
                                    const Tree& node);

}  // namespace pgrecast::script
