#include "pgrecast/pg/quote.h"

namespace pgrecast::pg {
namespace {

void append_doubling(std::string& out, std::string_view text, char quote) {
  for (const char c : text) {
    if (c == quote) out += c;
    out += c;
  }
}

template <typename Elements>
std::string array_of(const Elements& elements) {
  std::string out = "{";
  for (const auto& element : elements) {
    if (out.size() > 1) out += ',';
    out += '"';
    for (const char c : element) {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
    out += '"';
  }
  out += '}';
  return out;
}

}  // namespace

std::string quote_identifier(std::string_view name) {
  std::string out = "\"";
  append_doubling(out, name, '"');
  out += '"';
  return out;
}

std::string quote_qualified(std::string_view schema, std::string_view name) {
  return quote_identifier(schema) + "." + quote_identifier(name);
}

std::string quote_literal(std::string_view text) {
  const bool escapes = text.find('\\') != std::string_view::npos;
  std::string out = escapes ? " E'" : "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += c;
    out += c;
  }
  out += '\'';
  return out;
}

std::string array_literal(const std::vector<std::string_view>& elements) {
  return array_of(elements);
}

std::string array_literal(const std::vector<std::string>& elements) {
  return array_of(elements);
}

}  // namespace pgrecast::pg
