#pragma once

#include "pgrecast/script/script.h"

#include <gtest/gtest.h>

#include <string>
#include <variant>
#include <vector>

// What the script tests share: a parsed text that keeps its Script alive.
namespace pgrecast::script {

inline Script parse(const std::string& text) {
  return Script::parse(text, "test.sql");
}

template <typename Body>
const Body& body(const Script& script, std::size_t index = 0) {
  return std::get<Body>(script.statements().at(index).body);
}

inline std::string slice(const Script& script, Span span) {
  return std::string(script.slice(span));
}

// The problems of a text that must be refused; none if it was taken.
inline std::vector<ScriptProblem> problems_of(const std::string& text) {
  try {
    parse(text);
  } catch (const ScriptError& error) {
    return error.problems();
  }
  return {};
}

}  // namespace pgrecast::script
