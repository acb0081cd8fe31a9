#include "pgrecast/catalog/rename_columns.h"

#include "pgrecast/pg/quote.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace pgrecast::catalog {
namespace {

std::string rename(const QualifiedName& table, const std::string& from,
                   const std::string& to) {
  return fmt::format("ALTER TABLE {} RENAME COLUMN {} TO {}", table.quoted(),
                     pg::quote_identifier(from), pg::quote_identifier(to));
}

class Steps {
 public:
  explicit Steps(std::set<std::string> columns)
      : columns_(std::move(columns)) {}

  ColumnRenaming all(const std::map<std::string, std::string>& renamed) && {
    std::map<std::string, std::string> on_the_way;  // name of ours, new name
    for (const auto& [was, now] : renamed) {
      if (columns_.contains(was)) on_the_way[out_of_the_way(was)] = now;
    }
    for (const auto& [ours, now] : on_the_way) {
      if (columns_.contains(now)) out_of_the_way(now);
      add(ours, now);
    }
    return std::move(renaming_);
  }

 private:
  std::string out_of_the_way(const std::string& column) {
    std::string free;
    do {
      free = fmt::format("pgrecast_renamed_{}", ++count_);
    } while (columns_.contains(free));
    add(column, free);
    return free;
  }

  void add(const std::string& from, const std::string& to) {
    renaming_.add(from, to);
    columns_.erase(from);
    columns_.insert(to);
  }

  std::set<std::string> columns_;
  int count_ = 0;
  ColumnRenaming renaming_;
};

}  // namespace

void ColumnRenaming::add(std::string from, std::string to) {
  steps_.emplace_back(std::move(from), std::move(to));
}

std::vector<std::string> ColumnRenaming::statements(
    const QualifiedName& table) const {
  std::vector<std::string> all;
  for (const auto& [from, to] : steps_) {
    all.push_back(rename(table, from, to));
  }
  return all;
}

std::vector<std::string> ColumnRenaming::undo(
    const QualifiedName& table) const {
  std::vector<std::string> all;
  for (const auto& [from, to] : steps_) {
    all.push_back(rename(table, to, from));
  }
  std::ranges::reverse(all);
  return all;
}

ColumnRenaming rename_columns(
    pg::Connection& connection, Oid table,
    const std::map<std::string, std::string>& renamed) {
  if (renamed.empty()) return {};
  const pg::Result result = connection.exec(
      "SELECT attname FROM pg_catalog.pg_attribute "
      "WHERE attrelid = $1::pg_catalog.oid AND attnum > 0 AND NOT attisdropped",
      {table});
  std::set<std::string> columns;
  for (int row = 0; row < result.rows(); ++row) {
    columns.emplace(result.text(row, 0));
  }
  return Steps(std::move(columns)).all(renamed);
}

}  // namespace pgrecast::catalog
