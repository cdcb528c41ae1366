# A job that fails, to see the editor point at the line that did it.

"The mean of the readings of one station."
function mean_reading(readings)
    if isempty(readings)
        error("no readings to take the mean of") # the job fails on this line
    end
    return sum(readings) / length(readings)
end

stations = Dict("Uccle" => [3.9, 4.4, 7.1], "Oostende" => Float64[])

for name in sort(collect(keys(stations)); rev = true)
    println(name, ": ", mean_reading(stations[name]))
end
