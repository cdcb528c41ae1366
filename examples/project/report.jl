# Reports the mean temperature of each month. The data file, the included source
# and the package Greetings (../Greetings) are not on JuliaHub: submit the project
# as an appbundle, and they travel along.

using Dates
using Greetings
using Logging
using Printf

include(joinpath("src", "readings.jl"))

"Hands a summary and a file to JuliaHub, on its newer job images and on its older ones."
function deliver(summary, file)
    if haskey(ENV, "JULIAHUB_RESULTS_SUMMARY_FILE")
        write(ENV["JULIAHUB_RESULTS_SUMMARY_FILE"], summary)
        cp(file, joinpath(ENV["JULIAHUB_RESULTS_UPLOAD_DIR"], basename(file)); force = true)
    else
        ENV["RESULTS"] = summary
        ENV["RESULTS_FILE"] = file
    end
end

function main()
    means = monthly(readings(joinpath(@__DIR__, "data", "uccle.csv")))
    # Kept: JuliaHub takes the file after the script has ended.
    file = joinpath(mktempdir(; cleanup = false), "report.txt")
    open(file, "w") do io
        println(io, greeting("Uccle", first(first(means)), first(last(means))))
        for (done, (month, mean)) in enumerate(means)
            @printf(io, "%s %5.1f °C\n", Dates.format(month, "yyyy-mm"), mean)
            @logmsg LogLevel(-1) "Writing the report" progress = done / length(means) _id = :report
        end
    end
    print(read(file, String))
    month, mean = means[argmax(last.(means))]
    deliver(@sprintf("{\"warmest\": \"%s\", \"celsius\": %.1f}", Dates.format(month, "yyyy-mm"), mean), file)
end

main()
