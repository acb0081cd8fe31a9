#pragma once

#include "pgrecast/script/statement.h"

#include "statement_reader.h"
#include "tree.h"

namespace pgrecast::script {

// What the statement is, from its node of the parse tree ({"UpdateStmt": ..}).
// Throws ScriptError, one problem, for what pgrecast does not take.
StatementBody classify(const StatementReader& reader, const Tree& statement);

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

}  // namespace pgrecast::script
