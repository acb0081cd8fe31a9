#include "pgrecast/plan/target.h"

#include "pgrecast/base/json.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace pgrecast::plan {
namespace {

nlohmann::json json_of(const catalog::QualifiedName& name) {
  return {{"schema", name.schema}, {"name", name.name}};
}

catalog::QualifiedName name_from(const nlohmann::json& json) {
  return {.schema = json.at("schema").get<std::string>(),
          .name = json.at("name").get<std::string>()};
}

nlohmann::json json_of(const ShadowIndex& index) {
  return {{"name", index.name},
          {"unique", index.unique},
          {"from_script", index.from_script},
          {"create", index.create},
          {"constraint", index.constraint.value_or("")},
          {"then", index.then}};
}

ShadowIndex index_from(const nlohmann::json& json) {
  ShadowIndex index;
  json.at("name").get_to(index.name);
  json.at("unique").get_to(index.unique);
  json.at("from_script").get_to(index.from_script);
  json.at("create").get_to(index.create);
  if (const auto constraint = json.at("constraint").get<std::string>();
      !constraint.empty()) {
    index.constraint = constraint;
  }
  json.at("then").get_to(index.then);
  return index;
}

nlohmann::json json_of(const ScriptGrant& change) {
  return {{"column", change.column},   {"privilege", change.privilege},
          {"grantee", change.grantee}, {"grantor", change.grantor},
          {"granted", change.granted}, {"grantable", change.grantable}};
}

ScriptGrant grant_from(const nlohmann::json& json) {
  ScriptGrant change;
  json.at("column").get_to(change.column);
  json.at("privilege").get_to(change.privilege);
  json.at("grantee").get_to(change.grantee);
  json.at("grantor").get_to(change.grantor);
  json.at("granted").get_to(change.granted);
  json.at("grantable").get_to(change.grantable);
  return change;
}

nlohmann::json json_of(const AddedForeignKey& key) {
  nlohmann::json json{{"name", key.name},
                      {"columns", key.columns},
                      {"referenced", json_of(key.referenced)},
                      {"referenced_columns", key.referenced_columns},
                      {"definition", key.definition},
                      {"validated", key.validated},
                      {"refers", key.refers},
                      {"matches", key.matches}};
  if (key.comment) json["comment"] = *key.comment;
  return json;
}

AddedForeignKey foreign_key_from(const nlohmann::json& json) {
  AddedForeignKey key;
  json.at("name").get_to(key.name);
  json.at("columns").get_to(key.columns);
  key.referenced = name_from(json.at("referenced"));
  json.at("referenced_columns").get_to(key.referenced_columns);
  json.at("definition").get_to(key.definition);
  json.at("validated").get_to(key.validated);
  json.at("refers").get_to(key.refers);
  json.at("matches").get_to(key.matches);
  if (json.contains("comment")) {
    key.comment = json.at("comment").get<std::string>();
  }
  return key;
}

// `all`, each by json_of().
template <typename Values>
nlohmann::json array_of(const Values& all) {
  nlohmann::json array = nlohmann::json::array();
  for (const auto& value : all) array.push_back(json_of(value));
  return array;
}

}  // namespace

bool TableTarget::has_secondary_unique() const {
  return std::ranges::any_of(indexes, &ShadowIndex::unique);
}

std::vector<catalog::QualifiedName> TableTarget::heaps() const {
  if (!partitioned()) return {shadow};
  std::vector<catalog::QualifiedName> leaves;
  for (const Partition& partition : partitions) {
    if (!partition.leaf) continue;
    leaves.push_back({.schema = shadow.schema, .name = partition.name});
  }
  return leaves;
}

std::vector<std::string> TableTarget::key_index_names() const {
  std::vector<std::string> names = {key_index.name};
  if (!key_index_is_ours) return names;
  for (std::size_t heap = 2; heap <= heaps().size(); ++heap) {
    names.push_back(fmt::format("{}_{}", key_index.name, heap));
  }
  return names;
}

std::string TableTarget::whole_shadow() const {
  return (partitioned() ? "" : "ONLY ") + shadow.quoted();
}

std::string TableTarget::to_json() const {
  nlohmann::json parts = nlohmann::json::array();
  for (const Partition& partition : partitions) {
    parts.push_back({{"name", partition.name}, {"leaf", partition.leaf}});
  }
  return recorded_json({{"ordinal", ordinal},
                        {"source", json_of(source)},
                        {"shadow", json_of(shadow)},
                        {"retired", json_of(retired)},
                        {"select", select.to_json()},
                        {"shadow_key", shadow_key},
                        {"key_index", json_of(key_index)},
                        {"key_index_is_ours", key_index_is_ours},
                        {"indexes", array_of(indexes)},
                        {"late_constraints", late_constraints},
                        {"partitions", parts},
                        {"source_partitions", source_partitions},
                        {"renamed", renamed},
                        {"grants", array_of(grants)},
                        {"dropped_statistics", array_of(dropped_statistics)},
                        {"dropped_foreign_keys", dropped_foreign_keys},
                        {"added_foreign_keys", array_of(added_foreign_keys)},
                        {"changes", changes}});
}

TableTarget TableTarget::from_json(const std::string& json) {
  const auto parsed = nlohmann::json::parse(json);
  TableTarget target;
  parsed.at("ordinal").get_to(target.ordinal);
  target.source = name_from(parsed.at("source"));
  target.shadow = name_from(parsed.at("shadow"));
  target.retired = name_from(parsed.at("retired"));
  target.select = SelectList::from_json(parsed.at("select").get<std::string>());
  parsed.at("shadow_key").get_to(target.shadow_key);
  target.key_index = index_from(parsed.at("key_index"));
  parsed.at("key_index_is_ours").get_to(target.key_index_is_ours);
  for (const auto& index : parsed.at("indexes")) {
    target.indexes.push_back(index_from(index));
  }
  parsed.at("late_constraints").get_to(target.late_constraints);
  if (parsed.contains("partitions")) {
    for (const auto& part : parsed.at("partitions")) {
      target.partitions.push_back({.name = part.at("name").get<std::string>(),
                                   .leaf = part.at("leaf").get<bool>()});
    }
  }
  if (parsed.contains("source_partitions")) {
    parsed.at("source_partitions").get_to(target.source_partitions);
  }
  parsed.at("renamed").get_to(target.renamed);
  if (parsed.contains("grants")) {
    for (const auto& change : parsed.at("grants")) {
      target.grants.push_back(grant_from(change));
    }
    for (const auto& name : parsed.at("dropped_statistics")) {
      target.dropped_statistics.push_back(name_from(name));
    }
  }
  parsed.at("dropped_foreign_keys").get_to(target.dropped_foreign_keys);
  if (parsed.contains("added_foreign_keys")) {
    for (const auto& key : parsed.at("added_foreign_keys")) {
      target.added_foreign_keys.push_back(foreign_key_from(key));
    }
  }
  parsed.at("changes").get_to(target.changes);
  return target;
}

}  // namespace pgrecast::plan
