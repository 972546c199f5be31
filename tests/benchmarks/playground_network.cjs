// Trains networks with the network code of tensorflow/playground, told what to do line by line on stdin.
//   node playground_network.cjs nn.js
//   {"shape": [2, 4, 2, 1], "batch": 10, "x": [[…], …], "y": [1, -1, …]}   builds one, answers with its number
//   {"network": 0, "epochs": 5}                                            trains it, answers with milliseconds
"use strict";
const nn = require(require("path").resolve(process.argv[2]));
const networks = [];

function build({ shape, batch, x, y }) {
    const inputs = x[0].map((_, i) => `x${i}`);
    const network = nn.buildNetwork(shape, nn.Activations.TANH, nn.Activations.TANH, null, inputs);
    networks.push({ network, batch, x, y });
    return networks.length - 1;
}

function train({ network, epochs }) {
    const { network: layers, batch, x, y } = networks[network];
    const begun = process.hrtime.bigint();
    for (let epoch = 0; epoch < epochs; epoch++) {
        for (let i = 0; i < x.length; i++) {
            nn.forwardProp(layers, x[i]);
            nn.backProp(layers, y[i], nn.Errors.SQUARE);
            if ((i + 1) % batch === 0) nn.updateWeights(layers, 0.03, 0);
        }
    }
    return Number(process.hrtime.bigint() - begun) / 1e6;
}

require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
    const asked = JSON.parse(line);
    console.log(JSON.stringify(asked.shape ? build(asked) : train(asked)));
});
