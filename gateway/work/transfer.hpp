#pragma once

// One file on its way: drives core::download with one coroutine per connection, writes what comes
// where it belongs, keeps the note that lets it be taken up again, and looks at the file's format
// as soon as its header is there.

#include "work/fetch.hpp"

namespace gateway::work {

class transfer {
public:
    struct parts {
        file_source& source;
        work::traffic& traffic;
        net::time_source& time;
        store::model_files& files;
        std::function<double()>& random;
    };
    transfer(net::executor ex, parts uses, const fetch_options& options, const fetch_order& order,
             proto::model_source from, fetch_progress& progress);

    net::task<fetch_result> run();

private:
    struct buffer {
        std::vector<char> bytes;
        std::uint64_t offset = 0; // in the file
        std::size_t filled = 0;
    };
    // One connection reads into one buffer while the other one is being written.
    struct connection {
        connection(net::executor ex, int number) : id(number), writing(std::move(ex)) {}
        int id;
        buffer buffers[2];
        int filling = 0;
        net::task_group writing;
    };

    net::task<fetch_result> try_until_done();
    net::task<> drop();
    net::task<> take_up();
    net::task<> bring();
    net::task<> copy();
    void tick();
    net::task<> serve(int id);
    net::task<std::unique_ptr<net::reply_stream>> ask(int id, core::download_step step);
    net::task<> open_file();
    net::task<> read(connection& c, net::reply_stream& reply);
    net::task<> flush(connection& c);
    net::task<> put(buffer& b);
    net::task<> wait_for_room();
    net::task<> keep_notes();
    net::task<> save_note();
    net::task<> put_aside();
    net::task<> watch_format();
    net::task<std::string> look_at_format();
    net::task<std::optional<fetch_result>> finish();

    void learn(const file_source::answer& got);
    void failed(const store::file_failure& why);
    std::uint64_t most_unsaved() const;
    bool over() const;
    std::string current_host() const;

    net::executor ex_;
    parts uses_;
    const fetch_options& options_;
    const fetch_order& order_;
    proto::model_source from_;
    fetch_progress& progress_;

    core::download machine_;
    net::versions changed_; // something that others may wait for
    std::optional<net::url> link_;
    proto::source_facts facts_;
    std::optional<store::model_writer> writer_;
    std::optional<store::file_failure> disk_; // why nothing can be written any more
    int disk_failures_ = 0;
    bool stopping_ = false;
    std::uint64_t saved_ = 0; // bytes that the note tells of

    std::uint64_t format_needs_ = 64; // bytes from the start
    std::string extension_;           // by content; empty while it is not known
    std::uint64_t told_ = 0;          // bytes when the log was last told
    std::uint64_t rated_ = 0;         // bytes when the rate was last measured
    steady_time rated_at_{};
};

} // namespace gateway::work
