#include "source/log/log.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "source/log/file_writers.h"

namespace gatehouse::log {
namespace {

class LogTest : public testing::Test {
 protected:
  LogTest() {
    char name[] = "/tmp/gatehouse_log_XXXXXX";
    folder_ = ::mkdtemp(name);
  }
  ~LogTest() override {
    for (const std::string& file : made_) ::unlink(file.c_str());
    ::rmdir(folder_.c_str());
    setLevel(Level::kInfo);
  }
  std::string file(const std::string& name) {
    made_.push_back(folder_ + "/" + name);
    return made_.back();
  }
  static std::string content(const std::string& path) {
    std::ifstream in(path);
    std::stringstream text;
    text << in.rdbuf();
    return text.str();
  }
  std::string folder_;
  std::vector<std::string> made_;
};

TEST_F(LogTest, LevelsByName) {
  Level level;
  for (const char* name : {"trace", "debug", "info", "warning", "error", "critical", "off"}) {
    ASSERT_TRUE(parseLevel(name, &level)) << name;
    EXPECT_EQ(levelName(level), name);
  }
  EXPECT_TRUE(parseLevel("warn", &level));
  EXPECT_EQ(level, Level::kWarning);
  EXPECT_FALSE(parseLevel("loud", &level));
  Component component;
  EXPECT_TRUE(parseComponent("upstream", &component));
  EXPECT_EQ(componentName(component), "upstream");
  EXPECT_FALSE(parseComponent("nothing", &component));
}

TEST_F(LogTest, ComponentsHaveTheirOwnLevel) {
  std::string path = file("a.log");
  std::string error;
  ASSERT_TRUE(setUp("%l %n %v", path, &error)) << error;
  setLevel(Level::kError);
  setLevel(Component::kRouter, Level::kDebug);
  int built = 0;
  auto text = [&](const char* what) {
    ++built;
    return std::string(what);
  };
  GATEHOUSE_LOG(kMain, kWarning, text("not written"));
  EXPECT_EQ(built, 0);  // not even built
  GATEHOUSE_LOG(kMain, kError, text("one {} %v"));
  GATEHOUSE_LOG(kRouter, kDebug, text("two"));
  GATEHOUSE_LOG(kRouter, kTrace, text("no"));
  flush();
  EXPECT_EQ(content(path), "error main one {} %v\ndebug router two\n");
  setLevel(Component::kMain, Level::kOff);
  EXPECT_FALSE(enabled(Component::kMain, Level::kCritical));
  ASSERT_TRUE(setUp("", "", &error));
}

TEST_F(LogTest, UnwritablePathIsAnError) {
  std::string error;
  EXPECT_FALSE(setUp("", "/dev/null/file.log", &error));
  EXPECT_FALSE(error.empty());
}

TEST_F(LogTest, FileWriterKeepsEveryLineWhole) {
  std::string path = file("access.log");
  {
    FileWriters writers;
    std::string error;
    FileWriter* writer = writers.open(path, &error);
    ASSERT_NE(writer, nullptr) << error;
    EXPECT_EQ(writers.open(path, &error), writer);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([=] {
        std::string line(50, static_cast<char>('a' + t));
        line += '\n';
        for (int i = 0; i < 5000; ++i) writer->write(line);
      });
    }
    for (auto& thread : threads) thread.join();
    writers.flush();
    EXPECT_EQ(writer->dropped(), 0u);
  }
  std::ifstream in(path);
  int lines = 0;
  for (std::string line; std::getline(in, line); ++lines) {
    ASSERT_EQ(line, std::string(50, line[0]));
  }
  EXPECT_EQ(lines, 20'000);
}

TEST_F(LogTest, FileWriterWritesTheRestAtItsEnd) {
  std::string path = file("access.log");
  {
    FileWriters writers;
    std::string error;
    writers.open(path, &error)->write("last\n");
  }
  EXPECT_EQ(content(path), "last\n");
}

TEST_F(LogTest, FileWriterNamesWhatItCannotOpen) {
  FileWriters writers;
  std::string error;
  EXPECT_EQ(writers.open("/dev/null/x.log", &error), nullptr);
  EXPECT_EQ(error, "cannot open '/dev/null/x.log': Not a directory");
}

TEST_F(LogTest, ReopenFollowsARotation) {
  std::string path = file("access.log");
  std::string moved = file("access.log.1");
  FileWriters writers;
  std::string error;
  FileWriter* writer = writers.open(path, &error);
  writer->write("old\n");
  writers.flush();
  ASSERT_EQ(::rename(path.c_str(), moved.c_str()), 0);
  writers.reopen();
  struct stat info;
  while (::stat(path.c_str(), &info) != 0) std::this_thread::yield();
  writer->write("new\n");
  // The file exists from its opening on; the writer takes it up under the same lock that flush()
  // waits for.
  writers.flush();
  EXPECT_EQ(content(moved), "old\n");
  EXPECT_EQ(content(path), "new\n");
}

TEST_F(LogTest, TooMuchIsDroppedAndCounted) {
  FileWriters writers;
  std::string error;
  FileWriter* writer = writers.open("/dev/full", &error);
  ASSERT_NE(writer, nullptr) << error;
  writer->write(std::string(FileWriter::kMaxPending + 1, 'x'));
  EXPECT_EQ(writer->dropped(), 1u);
  writer->write("x\n");
  writers.flush();  // a full disk does not stop it
}

}  // namespace
}  // namespace gatehouse::log
