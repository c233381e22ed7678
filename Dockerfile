# The tag moves with Node's patches. To pin a release: append @sha256:… as `docker buildx imagetools inspect node:24-bookworm-slim` prints it.
ARG NODE_IMAGE=node:24-bookworm-slim

FROM ${NODE_IMAGE} AS manifest
WORKDIR /app
COPY package.json package-lock.json .npmrc ./

# SQLite is the one optional dependency that is used, and only outside production. No package may run a script: bcrypt
# brings its binaries along.
FROM manifest AS build
RUN --mount=type=cache,target=/root/.npm npm ci --ignore-scripts --omit=optional
COPY tsconfig.json tsconfig.build.json ./
COPY src src
COPY migrations migrations
RUN npm run build && rm -r dist/.tsbuildinfo dist/verifier

FROM manifest AS dependencies
RUN --mount=type=cache,target=/root/.npm npm ci --omit=dev --omit=optional --ignore-scripts

FROM ${NODE_IMAGE}
# What the server never uses is what an intruder would: package managers, and programs that change their user (CIS 4.8).
RUN rm -rf /usr/local/lib/node_modules /opt/yarn-* \
      /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /usr/local/bin/yarn /usr/local/bin/yarnpkg \
 && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
 && useradd --uid 10001 --user-group --no-create-home --home-dir /app --shell /usr/sbin/nologin gatehouse
WORKDIR /app
ENV NODE_ENV=production HOST=0.0.0.0 PORT=3000
# Owned by root: the server cannot change its own code, even where the root file system is writable.
COPY --from=dependencies /app/node_modules node_modules
COPY package.json ./
COPY --from=build /app/dist dist
# By number, so that an orchestrator can tell that it is not root.
USER 10001:10001
EXPOSE 3000
HEALTHCHECK --interval=5s --timeout=5s --start-period=90s --retries=3 CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/health/ready`, { signal: AbortSignal.timeout(4000) }).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "dist/src/main.js"]
