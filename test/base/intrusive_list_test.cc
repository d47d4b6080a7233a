#include "source/base/intrusive_list.h"

#include <gtest/gtest.h>

#include <memory>

#include "source/base/nearest.h"

namespace gatehouse::base {
namespace {

struct Item : ListLink<struct ItemTag> {
  explicit Item(int v) : value(v) {}
  int value;
};
using List = IntrusiveList<Item, ItemTag>;

TEST(IntrusiveList, KeepsOrder) {
  List list;
  Item a(1), b(2), c(3);
  list.pushBack(b);
  list.pushBack(c);
  list.pushFront(a);
  EXPECT_EQ(list.popFront().value, 1);
  EXPECT_FALSE(a.linked());
  EXPECT_EQ(list.next(b), &c);
  EXPECT_EQ(list.next(c), nullptr);
  EXPECT_EQ(list.back().value, 3);
}

TEST(IntrusiveList, DestroyedItemLeaves) {
  List list;
  auto item = std::make_unique<Item>(1);
  list.pushBack(*item);
  item.reset();
  EXPECT_TRUE(list.empty());
}

TEST(IntrusiveList, DestroyedListLetsGo) {
  Item item(1);
  {
    List list;
    list.pushBack(item);
  }
  EXPECT_FALSE(item.linked());
}

TEST(IntrusiveList, SpliceMovesAllToTheEnd) {
  List to, from;
  Item a(1), b(2), c(3);
  to.pushBack(a);
  from.pushBack(b);
  from.pushBack(c);
  to.splice(from);
  EXPECT_TRUE(from.empty());
  to.splice(from);
  for (int i = 1; i <= 3; ++i) EXPECT_EQ(to.popFront().value, i);
  EXPECT_TRUE(to.empty());
}

TEST(Nearest, FindsTypingErrors) {
  std::string_view words[] = {"connect_timeout", "cluster_name", "type"};
  EXPECT_EQ(nearest("conect_timeout", words), "connect_timeout");
  EXPECT_EQ(nearest("Cluster_Name", words), "cluster_name");
  EXPECT_EQ(nearest("zzzzzzzzz", words), "");
  EXPECT_EQ(didYouMean("clustername", words), " (did you mean 'cluster_name'?)");
  EXPECT_EQ(didYouMean("qqqqqqqq", words), "");
}

}  // namespace
}  // namespace gatehouse::base
