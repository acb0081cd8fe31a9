#pragma once

#include "pgrecast/pg/connection.h"
#include "pgrecast/plan/migrated_table.h"

#include <cstddef>
#include <string>
#include <vector>

// The statements by which the shadow's rows of some keys are made equal to the
// source's. Their parameters are KeyBatch::params(). Keys are compared by the
// server, with the key index's own operators: '1.0' and '1.00' may be one key,
// and each of them refreshes the row, in whatever form the row has its key. So
// no row depends on which of its key's forms are dirty, nor on a text that
// gives the very same bytes back (NaN does not).
namespace pgrecast::refresh {

class Statements {
 public:
  explicit Statements(const plan::MigratedTable& table);

  // Takes the keys' rows off the shadow, by its key index: off every leaf if
  // it is partitioned, since a row may have moved from one to another.
  const std::string& delete_keys() const { return delete_keys_; }

  // The same without an index, among the blocks [$n+1, $n+2) of one of the
  // target's heaps(), where n is the number of key columns: for settling.
  const std::string& delete_keys_in_blocks(std::size_t heap) const {
    return delete_keys_in_blocks_[heap];
  }

  // Puts in the keys' rows as the source has them, by its key index; sorted by
  // the server, where the buffer cannot keep keys in its order. Of a key
  // that has several forms, only the rows that the shadow lacks, which its own
  // key index tells: an earlier batch may have had another form. The keys' rows
  // must have been deleted before.
  const std::string& insert_keys() const { return insert_keys_; }

  // The same, but for the rows that a row of the shadow keeps out: a unique
  // value of theirs, say. Fails where a constraint is deferrable.
  const std::string& insert_what_is_free() const {
    return insert_what_is_free_;
  }

  // Afterwards, in its transaction: the numbers, from 1, of the keys that the
  // source has a row of and the shadow none. (Also of rows that the script
  // leaves behind.)
  const std::string& keys_kept_out() const { return keys_kept_out_; }

  // The rows that insert_keys() reads: FROM keys_from() AS alias WHERE ...
  const std::string& keys_from() const { return keys_from_; }
  const std::string& keys_condition() const { return keys_condition_; }

  const std::string& empty_shadow() const { return empty_shadow_; }

 private:
  std::string delete_keys_;
  std::vector<std::string> delete_keys_in_blocks_;
  std::string insert_keys_;
  std::string insert_what_is_free_;
  std::string keys_kept_out_;
  std::string keys_from_;
  std::string keys_condition_;
  std::string empty_shadow_;
};

// What a session needs so that the statements above are planned as they are
// meant: a loop over the keys, each looked up in the index. (The planner does
// not know how many keys an array holds.)
void prefer_key_lookups(pg::Connection& connection);
// For delete_keys_in_blocks(): a hash of the keys, and one pass.
void prefer_hashes(pg::Connection& connection);

}  // namespace pgrecast::refresh
