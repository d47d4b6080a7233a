#include "source/router/path_index.h"

#include <gtest/gtest.h>

#include <random>

namespace gatehouse::router {
namespace {

// Whatever the table, the index finds the first match of a scan in configuration order.
TEST(PathIndex, AgreesWithALinearScan) {
  std::mt19937 random(7);
  auto word = [&] {
    std::string text = "/";
    for (size_t n = random() % 5; n > 0; --n) text += "ab/"[random() % 3];
    return text;
  };
  for (int round = 0; round < 300; ++round) {
    PathIndex index;
    struct Rule {
      int kind;
      std::string text;
    };
    std::vector<Rule> rules;
    for (size_t n = 1 + random() % 40; n > 0; --n) {
      Rule rule{static_cast<int>(random() % 3), word()};
      auto number = static_cast<uint32_t>(rules.size());
      if (rule.kind == 0) index.addExact(rule.text, number);
      if (rule.kind == 1) index.addPrefix(rule.text, number);
      if (rule.kind == 2) index.addOther(number);
      rules.push_back(rule);
    }
    index.finish(static_cast<uint32_t>(rules.size()));
    for (int i = 0; i < 50; ++i) {
      std::string path = word();
      auto matches = [&](uint32_t r) {
        return rules[r].kind == 0 ? path == rules[r].text
                                  : path.starts_with(rules[r].text) && rules[r].text.size() != 3;
      };
      int expected = -1;
      for (uint32_t r = 0; r < rules.size() && expected < 0; ++r) {
        if (matches(r)) expected = static_cast<int>(r);
      }
      int found = -1;
      index.find(path, [&](uint32_t r) {
        if (!matches(r)) return false;
        found = static_cast<int>(r);
        return true;
      });
      ASSERT_EQ(found, expected) << path;
    }
  }
}

}  // namespace
}  // namespace gatehouse::router
