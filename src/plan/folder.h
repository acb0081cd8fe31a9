#pragma once

#include "pgrecast/base/error.h"
#include "pgrecast/catalog/settings.h"
#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/plan/fold.h"
#include "pgrecast/script/script.h"

#include "folding.h"
#include "script_settings.h"
#include "value_rules.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace pgrecast::plan {

// fold(), statement by statement. Which file has what: fold.cc the order of
// things, and what concerns no table; fold_columns.cc ALTER TABLE, but for
// fold_foreign_keys.cc;
// fold_values.cc UPDATE, DELETE and every expression; fold_objects.cc indexes,
// comments, grants and statistics; fold_new_shape.cc CREATE TABLE;
// fold_finish.cc the target.
class Folder {
 public:
  Folder(pg::Connection& connection, const script::Script& script,
         const FoldRules& rules)
      : connection_(&connection),
        script_(&script),
        settings_(connection, script, rules.settings),
        rules_(connection, settings_, rules),
        held_(rules.taken) {}
  Folder(const Folder&) = delete;  // rules_ points into it
  Folder& operator=(const Folder&) = delete;
  ~Folder() = default;

  Folded fold(const std::vector<FoldTable>& tables);

 private:
  Folding begin(const FoldTable& table);
  bool follows_refused(const script::Statement& statement);
  std::set<TakenName> names_to_hold();
  void apply_or_note(const script::Statement& statement);
  void apply(const script::Statement& statement,
             const script::AlterTable& body);
  void apply(const script::Statement& statement,
             const script::RenameColumn& body);
  void apply(const script::Statement& statement, const script::Update& body);
  void apply(const script::Statement& statement, const script::Delete& body);
  void apply(const script::Statement& statement,
             const script::CreateIndex& body);
  void apply(const script::Statement& statement, const script::DropIndex& body);
  void apply(const script::Statement& statement,
             const script::CreateTable& body);
  void apply(const script::Statement& statement,
             const script::CreatePartition& body);
  void apply(const script::Statement& statement,
             const script::SetVariable& body);
  void apply(const script::Statement& statement,
             const script::TransactionMark& body);
  void apply(const script::Statement& statement,
             const script::RenameConstraint& body);
  void apply(const script::Statement& statement,
             const script::AlterIndex& body);
  void apply(const script::Statement& statement,
             const script::CommentOnTable& body);
  void apply(const script::Statement& statement,
             const script::CommentOnObject& body);
  void apply(const script::Statement& statement,
             const script::ChangeGrants& body);
  void apply(const script::Statement& statement,
             const script::CreateStatistics& body);
  void apply(const script::Statement& statement,
             const script::DropStatistics& body);

  // The rows are made by one query, and so under one set of settings: every
  // statement that puts a computed value or a condition into it says so here.
  void computes_values(const script::Statement& statement);
  Folding* owner_of(const script::ObjectName& index);
  Folding* made_statistics(const script::ObjectName& name);
  Folding* source_statistics(const script::ObjectName& name);
  void finish_grants(Folding& folding, TableTarget& target);
  Folding& folding_of(const script::Statement& statement,
                      const script::TableName& name);
  void run_on_clone(const script::Statement& statement, Folding& folding);
  void run_alter_table(const script::Statement& statement, Folding& folding,
                       const script::AlterTable& body);
  void run_script_sql(const script::Statement& statement,
                      const std::string& sql);
  void reshape(const script::Statement& statement, Folding& folding,
               const script::AlterTable& alter);
  void refuse_first_default(const script::AlterTable& alter,
                            const script::DefaultChange& second,
                            bool of_domain);
  std::string added_value(const script::Statement& statement, Folding& folding,
                          const catalog::Column& column,
                          const script::AlterTable& alter);
  // How ADD COLUMN fills the column, as printed and as stored; the domain's
  // default where the column has none of its own.
  std::optional<std::pair<std::string, std::string>> default_of(
      const Folding& folding, const catalog::Column& column, bool own);
  void change_key(const script::Statement& statement, Folding& folding,
                  const catalog::Column& before, const catalog::Column& after,
                  const script::TypeChange* change);
  void check_expression(const Folding& folding,
                        const script::Expression& expression,
                        const std::optional<std::string>& alias,
                        const catalog::Column* assigned_to = nullptr);
  void refuse_no_value(const script::Expression& expression,
                       const std::string& sqlstate, std::size_t place);
  void refuse_foreign_key(const Folding& folding, std::size_t offset,
                          const std::string& name);
  void drop_foreign_key(Folding& folding, std::size_t offset,
                        const std::string& name);
  void drop_foreign_keys_of_lost_columns(Folding& folding);
  void refuse_only(const Folding& folding, const script::TableName& table);
  // Where the clone's foreign key leads: a clone, or a stand-in.
  std::string place_of_referenced(const script::AddedForeignKey& key,
                                  const Folding& folding);
  std::string stand_in(const script::TableName& name, catalog::Oid oid,
                       const Folding& folding);
  // Makes a table whose constraints have all names that the server would not
  // choose for a foreign key in the source's schema at this place in the
  // script; nullopt where it may choose any.
  std::optional<std::string> take_constraint_names(const Folding& folding);
  // Rows of another table that by hand would change with these: `column`: that
  // is set; nullptr: rows are deleted.
  void refuse_cascade(std::size_t offset, const Folding& folding,
                      const std::string* column);
  void refuse_references_to(const script::Statement& statement,
                            const Folding& folding);
  void take_foreign_keys();
  void refuse_rules(const script::Statement& statement, const Folding& folding,
                    char event, const char* word);
  // An index that is no clone's: refused, but where nothing has that name.
  void refuse_index(const script::ObjectName& index, bool if_exists,
                    const char* remedy);
  bool are_anothers(const script::ObjectName& name);
  void refuse_names_taken_over(const Folding& folding);
  std::string expression_text(const script::Expression& expression) const;
  void follow_names(const script::Statement& statement, Folding& folding);
  Folding* made_anew_by_script(const script::TableName& name);
  void check_named_columns(const script::Statement& statement,
                           const Folding& folding,
                           const std::vector<catalog::Column>& before);
  TableTarget finish(Folding& folding, std::uint32_t ordinal);
  void choose_indexes(Folding& folding, TableTarget& target);
  void try_select(Folding& folding, const TableTarget& target);

  [[noreturn]] void refuse(std::size_t offset, const std::string& what,
                           const std::string& remedy) const {
    throw Refused(script_->error_at(offset, what, ""), remedy);
  }

  pg::Connection* connection_;
  const script::Script* script_;
  ScriptSettings settings_;
  std::vector<Refusal> refusals_;
  std::set<catalog::Oid> lost_;  // sources with a refused statement
  ValueRules rules_;
  std::set<TakenName> held_;
  // By an expression's place: what stands for now() and its like in it.
  std::map<std::size_t, std::vector<script::Replacement>> frozen_;
  // Those under which the rows are made, once a statement computes values.
  std::optional<catalog::Settings> made_under_;
  std::vector<Folding> foldings_;
  std::vector<std::string> notes_;
  // Empty tables like those that foreign keys refer to and the script does not
  // reshape, by the OID of the real one.
  std::map<catalog::Oid, catalog::QualifiedName> stand_ins_;
  // By a statement's place: the foreign keys that it adds.
  std::map<std::size_t, std::vector<std::string>> foreign_keys_of_;
};

}  // namespace pgrecast::plan
