#include "script_settings.h"

#include "pgrecast/base/error.h"
#include "pgrecast/pg/errors.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <variant>

namespace pgrecast::plan {

ScriptSettings::ScriptSettings(pg::Connection& connection,
                               const script::Script& script,
                               catalog::Settings at_start)
    : connection_(&connection),
      script_(&script),
      at_start_(std::move(at_start)),
      session_(at_start_) {
  for (const auto& [name, value] : at_start_) {
    ours_[name] = setting_of_session(name);
  }
}

// Empty for one of an application's own that nobody has set.
std::string ScriptSettings::setting_of_session(const std::string& name) {
  return std::string(
      connection_
          ->exec("SELECT COALESCE(pg_catalog.current_setting($1, true), '')",
                 {name})
          .text(0, 0));
}

void ScriptSettings::refuse(const script::Statement& statement,
                            const std::string& what,
                            const std::string& remedy) const {
  throw Refused(script_->error_at(statement.span.begin, what, ""), remedy);
}

void ScriptSettings::apply(const script::Statement& statement,
                           const script::SetVariable& set) {
  if (set.kind == script::SetVariable::Kind::kResetAll) {
    session_ = at_start_;
    local_.clear();
    return;
  }
  const auto known = catalog::known_setting(set.name);
  if (!known) {
    refuse(statement,
           fmt::format("{} cannot be set in a script: what it would do to a "
                       "migration is not known",
                       set.name),
           "take it out; settle it for the role or the database with ALTER "
           "ROLE .. SET");
  }
  if (set.local && block_ == nullptr) {
    refuse(
        statement,
        "SET LOCAL outside of BEGIN .. COMMIT has no effect, by hand neither",
        "write SET, or put BEGIN before it");
  }
  if (known->use == SettingUse::kWithoutEffect) {
    if (known->name == "client_encoding" &&
        set.kind == script::SetVariable::Kind::kSet &&
        value_of(statement, known->name) != "UTF8") {
      refuse(statement, "a script is UTF-8, whatever client_encoding says",
             "save the script as UTF-8, and take this out");
    }
    notes_.push_back(
        fmt::format("{} has no effect: the sessions of a migration have their "
                    "own",
                    script_->slice(statement.span)));
    return;
  }
  catalog::Settings& holds = set.local ? local_ : session_;
  if (!set.local) local_.erase(known->name);
  if (set.kind == script::SetVariable::Kind::kReset) {
    const auto first = at_start_.find(known->name);
    holds.erase(known->name);
    if (first != at_start_.end()) holds[known->name] = first->second;
    return;
  }
  const std::string value = value_of(statement, known->name);
  if (known->name == "standard_conforming_strings" && value != "on") {
    refuse(statement,
           "pgrecast reads strings as standard_conforming_strings = on says",
           "take it out, and write E'..' where backslashes are escapes");
  }
  if (!ours_.contains(known->name)) {
    ours_[known->name] = setting_of_session(known->name);
  }
  holds[known->name] = value;
}

// The statement's own words, run and taken back.
std::string ScriptSettings::value_of(const script::Statement& statement,
                                     const std::string& name) {
  connection_->exec("SAVEPOINT script_set");
  std::string value;
  try {
    connection_->exec(std::string(script_->slice(statement.span)));
    value = connection_->exec("SELECT pg_catalog.current_setting($1)", {name})
                .text(0, 0);
  } catch (const pg::SqlError& error) {
    connection_->exec("ROLLBACK TO SAVEPOINT script_set");
    refuse(statement, fmt::format("the server refuses this: {}", error.what()),
           error.fields().hint.empty() ? "correct the statement"
                                       : error.fields().hint);
  }
  connection_->exec("ROLLBACK TO SAVEPOINT script_set");
  return value;
}

void ScriptSettings::apply(const script::Statement& statement,
                           const script::TransactionMark& mark) {
  constexpr auto kNote =
      "BEGIN and COMMIT have no effect: the whole script takes effect at once, "
      "at the cutover";
  if (std::ranges::find(notes_, kNote) == notes_.end()) {
    notes_.emplace_back(kNote);
  }
  if (mark.begins) {
    block_ = &statement;
    return;
  }
  if (block_ == nullptr) {
    refuse(statement, "COMMIT has no BEGIN before it",
           "take it out, or put BEGIN where the transaction shall begin");
  }
  local_.clear();
  if (!mark.chain) block_ = nullptr;
}

void ScriptSettings::follow(const script::Statement& statement) {
  if (const auto* set = std::get_if<script::SetVariable>(&statement.body)) {
    apply(statement, *set);
  }
  if (const auto* mark =
          std::get_if<script::TransactionMark>(&statement.body)) {
    apply(statement, *mark);
  }
}

void ScriptSettings::finish() const {
  if (block_ == nullptr) return;
  refuse(*block_,
         "this transaction is never committed: by hand, nothing of it would "
         "stay",
         "write COMMIT at its end, or take BEGIN out");
}

catalog::Settings ScriptSettings::now() const {
  catalog::Settings settings = local_;
  settings.insert(session_.begin(), session_.end());
  return settings;
}

catalog::Settings ScriptSettings::of_use(SettingUse use) const {
  catalog::Settings settings;
  for (const auto& [name, value] : now()) {
    if (catalog::known_setting(name)->use == use) settings[name] = value;
  }
  return settings;
}

void ScriptSettings::set_all(const catalog::Settings& settings) {
  std::string list;
  std::vector<pg::Param> params;
  for (const auto& [name, value] : settings) {
    list += fmt::format("{}pg_catalog.set_config(${}, ${}, true)",
                        list.empty() ? "" : ", ", params.size() + 1,
                        params.size() + 2);
    params.emplace_back(name);
    params.emplace_back(value);
  }
  if (!list.empty()) connection_->exec("SELECT " + list, params);
}

void ScriptSettings::enter(const catalog::Settings& settings) {
  set_all(settings);
}

void ScriptSettings::leave() {
  set_all(ours_);
}

std::optional<catalog::Oid> ScriptSettings::find_relation(
    const std::optional<std::string>& schema, const std::string& name) {
  enter({{"search_path", now().at("search_path")}});
  const auto oid = catalog::find_relation(*connection_, schema, name);
  enter({{"search_path", ours_.at("search_path")}});
  return oid;
}

}  // namespace pgrecast::plan
