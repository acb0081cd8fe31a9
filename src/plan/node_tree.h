#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// What the server stores of an expression (pg_node_tree), read as far as its
// volatility asks for: which functions it calls, with arguments of which types.
namespace pgrecast::plan {

using Oid = std::uint32_t;

struct NodeUse {
  enum class Kind {
    kFunction,  // `oid` is a function
    kOperator,  // `oid` is an operator
    kInput,     // a value is read by the input function of type `oid`
    kOutput,    // a value is written by the output function of type `oid`
    kCurrent,   // CURRENT_DATE, CURRENT_USER, ..
    kOther,     // `what` differs each time, or is not known
  };

  Kind kind = Kind::kFunction;
  Oid oid = 0;
  std::vector<Oid> arguments;  // their types; 0: not known
  std::string what;
};

// The uses of `tree`, a whole expression or, of a view's query, its target
// list; in the tree's order. What is no node tree at all, or of a kind that is
// not known here, is a use of kind kOther.
std::vector<NodeUse> read_uses(std::string_view tree);

}  // namespace pgrecast::plan
