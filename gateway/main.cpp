// Subcommands and flags, nothing else.

#include "app/serve.hpp"
#include "config/settings.hpp"
#include "tools/models.hpp"
#include "tools/models_pull.hpp"
#include "tools/simulate.hpp"
#include "tools/store.hpp"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <functional>
#include <iostream>
#include <optional>

namespace {

using namespace gateway;

// The flags that set configuration keys, as config/ lists them, and --config.
struct configuration {
    std::string file;
    std::vector<config::flag> flags;

    void add_to(CLI::App& command)
    {
        command.add_option("--config", file, "TOML file with the settings")
            ->envname("WEBUI_GATEWAY_CONFIG")
            ->check(CLI::ExistingFile);
        for (const auto& known : config::flags())
            add(command, known);
        add(command,
            {"--set", "table.key=value", "Any setting, e.g. --set jobs.ttl=1h.", true, ""});
    }

private:
    void add(CLI::App& command, const config::flag_help& known)
    {
        auto take = [this, known](const std::vector<std::string>& values) {
            for (const auto& value : values)
                flags.push_back({known.name, value.empty() ? known.bare : value});
        };
        auto* option = command.add_option_function<std::vector<std::string>>(
            known.name, std::move(take), known.help + " [" + known.key + "]");
        if (!known.bare.empty())
            option->expected(0, 1);
        else
            option->expected(1);
        option->allow_extra_args(false); // what follows may be an argument of the subcommand
        option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)->type_name("VALUE");
    }
};

int refuse(const config::loaded& settings)
{
    std::cerr << config::check(settings);
    return 2;
}

int serve(const configuration& from)
{
    auto settings = config::load_from_system(from.file, from.flags);
    if (!settings.ok())
        return refuse(settings);
    try {
        return app::serve(std::move(settings));
    } catch (const std::exception& failure) {
        std::cerr << "webui-gateway could not start: " << failure.what() << '\n';
        return 1;
    }
}

int pull(const configuration& from, const tools::pull_options& options)
{
    const auto settings = config::load_from_system(from.file, from.flags);
    if (!settings.ok())
        return refuse(settings);
    return tools::pull(options, settings.settings);
}

int check(const configuration& from)
{
    const auto settings = config::load_from_system(from.file, from.flags);
    std::cout << config::check(settings);
    return settings.ok() ? 0 : 2;
}

int print(const configuration& from)
{
    const auto settings = config::load_from_system(from.file, from.flags);
    if (!settings.ok())
        return refuse(settings);
    std::cout << config::print(settings);
    return 0;
}

int check_store(const configuration& from)
{
    const auto settings = config::load_from_system(from.file, from.flags);
    if (!settings.ok())
        return refuse(settings);
    return tools::check_store(settings.settings.data.dir, std::cout);
}

// The subcommands of `models`.
class model_commands {
public:
    model_commands(CLI::App& models, configuration& settings) : settings_(settings)
    {
        add(models, "list", "what is there", tools::list_models);
        add(models, "verify", "read every file: are header and sha256 right?",
            tools::verify_models);
        add(models, "prune", "delete what is over the budget or unused (see [models])",
            tools::prune_models);
        add(models, "adopt", "let the gateway delete files that it did not fetch",
            tools::adopt_models);
        add(models, "pin", "never delete these",
            [](auto& o, auto& s, auto& out) { return tools::pin_models(o, s, true, out); });
        add(models, "unpin", "delete these when room is needed",
            [](auto& o, auto& s, auto& out) { return tools::pin_models(o, s, false, out); });
    }

    // Nothing when none of them was asked for.
    std::optional<int> run() const
    {
        for (const auto& [command, act] : all_) {
            if (!*command)
                continue;
            const auto loaded = config::load_from_system(settings_.file, settings_.flags);
            return loaded.ok() ? act(options_, loaded.settings, std::cout) : refuse(loaded);
        }
        return std::nullopt;
    }

private:
    using action =
        std::function<int(const tools::models_options&, const config::settings&, std::ostream&)>;

    void add(CLI::App& models, const std::string& name, const std::string& help, action what)
    {
        auto* command = models.add_subcommand(name, help);
        tools::add_models_flags(*command, options_, name);
        settings_.add_to(*command);
        all_.emplace_back(command, std::move(what));
    }

    configuration& settings_;
    tools::models_options options_;
    std::vector<std::pair<CLI::App*, action>> all_;
};

} // namespace

int main(int argc, char** argv)
{
    CLI::App program("Turns Stable Diffusion WebUIs into a production image service.",
                     "webui-gateway");
    program.set_version_flag("--version", std::string("webui-gateway ") + GATEWAY_VERSION);
    program.require_subcommand(1);

    configuration settings;
    auto* serving = program.add_subcommand("serve", "accept jobs over HTTP and run them");
    settings.add_to(*serving);

    auto* configuring = program.add_subcommand("config", "look at the settings");
    configuring->require_subcommand(1);
    auto* checking =
        configuring->add_subcommand("check", "say what is wrong with them, if anything");
    settings.add_to(*checking);
    auto* printing = configuring->add_subcommand("print", "every setting and where it came from");
    settings.add_to(*printing);

    auto* storing = program.add_subcommand("store", "look after what is remembered");
    storing->require_subcommand(1);
    auto* verifying = storing->add_subcommand(
        "check", "verify journal and results of a gateway that does not run; changes nothing");
    settings.add_to(*verifying);

    tools::simulate_options simulated;
    auto* simulating = program.add_subcommand("simulate", "pretend to be a WebUI with a GPU");
    tools::add_simulate_flags(*simulating, simulated);

    auto* models = program.add_subcommand("models", "look after the model files");
    models->require_subcommand(1);
    tools::pull_options pulled;
    auto* pulling = models->add_subcommand("pull", "bring model files into the folders");
    tools::add_pull_flags(*pulling, pulled);
    settings.add_to(*pulling);
    const model_commands model_files(*models, settings);

    CLI11_PARSE(program, argc, argv);
    if (*serving)
        return serve(settings);
    if (*checking)
        return check(settings);
    if (*printing)
        return print(settings);
    if (*verifying)
        return check_store(settings);
    if (*pulling)
        return pull(settings, pulled);
    if (const auto code = model_files.run())
        return *code;
    return tools::simulate(simulated);
}
