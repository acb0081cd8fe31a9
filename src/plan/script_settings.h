#pragma once

#include "pgrecast/catalog/settings.h"
#include "pgrecast/catalog/table.h"
#include "pgrecast/pg/connection.h"
#include "pgrecast/script/script.h"

#include <optional>
#include <string>
#include <vector>

namespace pgrecast::plan {

// The settings that hold at a statement of the script, as its SETs leave them.
// The server says what each SET means; our own session keeps its own settings
// but between enter() and leave().
//
// Within one transaction of the caller's, on its thread.
class ScriptSettings {
 public:
  ScriptSettings(pg::Connection& connection, const script::Script& script,
                 catalog::Settings at_start);

  // Throw Refused, with the place.
  void apply(const script::Statement& statement,
             const script::SetVariable& set);
  void apply(const script::Statement& statement,
             const script::TransactionMark& mark);
  void follow(const script::Statement& statement);  // whatever it is
  void finish() const;                              // at the script's end

  catalog::Settings now() const;
  // Of these, what decides values, and what the server may use.
  catalog::Settings values() const {
    return of_use(SettingUse::kDecidesValues);
  }
  catalog::Settings resources() const { return of_use(SettingUse::kResources); }

  // Makes `settings` the transaction's, and ours again. Where a statement fails
  // in between, rolling back to a savepoint from before is enough.
  void enter(const catalog::Settings& settings);
  void leave();

  // As the script's search_path resolves it now.
  std::optional<catalog::Oid> find_relation(
      const std::optional<std::string>& schema, const std::string& name);

  // For people: what was taken and has no effect.
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  using SettingUse = catalog::SettingUse;

  catalog::Settings of_use(SettingUse use) const;
  std::string setting_of_session(const std::string& name);
  std::string value_of(const script::Statement& statement,
                       const std::string& name);
  void set_all(const catalog::Settings& settings);
  [[noreturn]] void refuse(const script::Statement& statement,
                           const std::string& what,
                           const std::string& remedy) const;

  pg::Connection* connection_;
  const script::Script* script_;
  catalog::Settings at_start_;
  catalog::Settings session_;                 // by SET
  catalog::Settings local_;                   // by SET LOCAL, until COMMIT
  catalog::Settings ours_;                    // what leave() goes back to
  const script::Statement* block_ = nullptr;  // the open BEGIN
  std::vector<std::string> notes_;
};

}  // namespace pgrecast::plan
