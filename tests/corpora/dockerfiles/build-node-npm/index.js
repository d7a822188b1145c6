console.log("a day is " + require("ms")("1d") + " ms");
